import { describe, expect, it } from 'vitest';
import { changeKernelArguments, splitKernelArguments, unmatchedChanges } from '../../src/iso/index.ts';

describe('changing kernel arguments', () => {
  it.each([
    ['deletes whole arguments', 'foo bar foobar', { delete: ['foo'] }, 'bar foobar'],
    ['deletes several as one text', 'foo bar foobar', { delete: ['foo bar'] }, 'foobar'],
    ['ignores blanks around', 'foo=1 bar', { delete: ['  foo=1 '], append: [' baz '] }, 'bar baz'],
    ['deletes before it appends', 'a b', { delete: ['a'], append: ['a'] }, 'b a'],
    ['replaces what was appended', 'a', { append: ['k=1'], replace: ['k=1=2'] }, 'a k=2'],
    ['replaces a value', 'm=auto,nosmt x', { replace: ['m=auto,nosmt=off'] }, 'm=off x'],
    ['takes dollars as they are', 'k=1', { replace: ['k=1=$&$1'] }, 'k=$&$1'],
    ['leaves the rest', 'a  b', {}, 'a  b'],
    ['starts from nothing', '', { append: ['a', 'b'] }, 'a b'],
  ])('%s', (_, text, changes, expected) => {
    expect(changeKernelArguments(text, changes)).toBe(expected);
  });

  it.each(['a', 'a=b', 'a=b=', '=b=c', 'a=b=c=d'])('refuses the replacement %s', (argument) => {
    expect(() => changeKernelArguments('', { replace: [argument] })).toThrow("hasn't the form key=old=new");
  });

  it('tells which changes found nothing', () => {
    const changes = { delete: ['a', 'x'], append: ['c=1'], replace: ['c=1=2', 'd=1=2'] };
    expect(unmatchedChanges('a b', changes)).toEqual(['x', 'd=1=2']);
  });

  it('splits at any blanks', () => {
    expect(splitKernelArguments(' a  b\tc\n')).toEqual(['a', 'b', 'c']);
    expect(splitKernelArguments('')).toEqual([]);
  });
});
