import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseInputs } from '../../src/commands/inputs.ts';
import { UsageError } from '../../src/io/errors.ts';

const declared = {
  image: { type: 'path', required: true, description: 'the image' },
  formats: { type: 'choices', choices: ['iso', 'vdi'], default: ['iso'], description: '' },
  files: { type: 'list', description: '' },
  kargs: { type: 'lines', description: '' },
  size: { type: 'size', default: '60G', description: '' },
  memory: { type: 'integer', default: 2048, minimum: 128, description: '' },
  force: { type: 'boolean', default: false, description: '' },
  mode: { type: 'choice', choices: ['warn', 'fail'], default: 'warn', description: '' },
  extract: { type: 'tuple', placeholders: ['REF', 'DIR'], cliOnly: true, description: '' },
} as const;

const parse = (given: Record<string, readonly string[]>) => parseInputs(declared, { image: ['a'], ...given });

describe('parseInputs', () => {
  it('fills in defaults', () => {
    expect(parse({})).toEqual({
      image: 'a',
      formats: ['iso'],
      files: [],
      kargs: [],
      size: 60 * 1024 ** 3,
      memory: 2048,
      force: false,
      mode: 'warn',
      extract: undefined,
    });
  });

  it('takes an empty text as not given, as a runner sets inputs', () => {
    expect(parse({ formats: [''], force: [''], size: ['  '] })).toEqual(parse({}));
  });

  it.each([
    [
      ['a,b', 'c'],
      ['a', 'b', 'c'],
    ],
    [['a\nb\n'], ['a', 'b']],
    [['a,b\nc\r\n'], ['a,b', 'c']],
    [[' a , ,b '], ['a', 'b']],
  ])('splits the list %j', (texts, items) => expect(parse({ files: texts }).files).toEqual(items));

  it('never splits lines at commas', () => {
    expect(parse({ kargs: ['console=ttyS0,115200\nquiet\n', 'a,b'] }).kargs).toEqual([
      'console=ttyS0,115200',
      'quiet',
      'a,b',
    ]);
  });

  it.each([
    ['TRUE', true],
    ['False', false],
  ])('reads the boolean %s', (text, value) => expect(parse({ force: [text] }).force).toBe(value));

  it.each([
    [{ image: [] }, '"image" is required: the image'],
    [{ force: ['yes'] }, '"force" is "yes", but takes true or false'],
    [{ formats: ['iso,ova'] }, '"formats" is "ova", but takes iso, vdi'],
    [{ mode: ['x'] }, '"mode" is "x", but takes warn, fail'],
    [{ size: ['60X'] }, '"size": "60X" is not a size'],
    [{ memory: ['12'] }, '"memory" is "12", but takes a whole number from 128'],
    [{ memory: ['1e4'] }, '"memory" is "1e4"'],
    [{ mode: ['warn', 'fail'] }, '"mode" is given 2 times, but takes one value'],
    [{ extract: ['a'] }, '"extract" takes REF and DIR, not 1 values'],
  ])('refuses %j', (given, message) => {
    expect(() => parse(given)).toThrow(UsageError);
    expect(() => parse(given)).toThrow(message);
  });

  it('tells all mistakes at once', () => {
    expect(() => parse({ force: ['x'], mode: ['y'] })).toThrow(/"force".*\n"mode"/);
  });

  it('throws nothing but usage errors', () => {
    const names = fc.constantFrom(...Object.keys(declared));
    fc.assert(
      fc.property(fc.dictionary(names, fc.array(fc.string(), { maxLength: 3 })), (given) => {
        try {
          parse(given);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});
