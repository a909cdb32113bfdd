import { describe, expect, it } from 'vitest';
import { formatSize, parseSize } from '../../src/io/sizes.ts';

describe('parseSize', () => {
  it.each([
    ['512', 512],
    ['60G', 60 * 1024 ** 3],
    ['1.5 MiB', 1.5 * 1024 ** 2],
    ['2kb', 2048],
    ['1T', 1024 ** 4],
  ])('reads %s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(['', 'G', '-1', '1X', '0.3', '1e9', '99999P', 'NaN', '0x10'])('refuses %j', (text) => {
    expect(() => parseSize(text)).toThrow('is not a size');
  });
});

describe('formatSize', () => {
  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [1023, '1023 bytes'],
    [1536, '1.5 KiB'],
    [60 * 1024 ** 3, '60 GiB'],
  ])('writes %d', (bytes, text) => expect(formatSize(bytes)).toBe(text));
});
