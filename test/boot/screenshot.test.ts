import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { ppmToPng } from '../../src/boot/screenshot.ts';

describe('ppmToPng', () => {
  it('gives a PNG of the same pixels', () => {
    const pixels = Buffer.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 4, 5, 6, 10, 13, 32]);
    const png = ppmToPng(Buffer.concat([Buffer.from('P6\n3 2\n255\n'), pixels]));
    expect(png.subarray(0, 8)).toEqual(Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'));
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([3, 2]);
    const length = png.readUInt32BE(33);
    expect(png.toString('latin1', 37, 41)).toBe('IDAT');
    const rows = inflateSync(png.subarray(41, 41 + length));
    expect(rows).toEqual(
      Buffer.concat([Buffer.from([0]), pixels.subarray(0, 9), Buffer.from([0]), pixels.subarray(9)]),
    );
  });

  it.for([
    ['truncated', 'P6\n3 2\n255\nabc'],
    ['too long', 'P6\n1 1\n255\nabcd'],
    ['of 16 bits', 'P6\n1 1\n65535\nabcdef'],
    ['not a PPM', 'GIF89a'],
    ['empty', ''],
    ['without pixels', 'P6\n0 0\n255\n'],
  ])('refuses what is %s', ([, bytes]) => {
    expect(() => ppmToPng(Buffer.from(bytes ?? ''))).toThrow('not a complete PPM');
  });
});
