import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { growImage, imageOf, patchImage, surveyImage } from '../../src/disk/index.ts';
import { bytesReader } from '../../src/io/reader.ts';
import { KiB, MiB } from '../../src/io/sizes.ts';
import { bytesOf, expectSame, memoryImage, noise } from '../support/disk.ts';

describe('patchImage', () => {
  it('replaces ranges wherever they lie, as a copy of the bytes would', async () => {
    const patch = fc.record({ gap: fc.nat(40), length: fc.nat(30) });
    await fc.assert(
      fc.asyncProperty(fc.nat(50), fc.array(patch, { maxLength: 5 }), fc.boolean(), async (tail, gaps, fromReader) => {
        let end = 0;
        const patches = gaps.map(({ gap, length }, i) => {
          const offset = end + gap;
          end = offset + length;
          return { offset, bytes: noise(length, i + 7) };
        });
        const original = noise(end + tail);
        const expected = Buffer.from(original);
        for (const { offset, bytes } of patches) expected.set(bytes, offset);
        const image = fromReader
          ? imageOf([{ kind: 'range', length: original.length, source: bytesReader('base', original), offset: 0 }])
          : memoryImage(original);
        expectSame(await bytesOf(patchImage(image, patches.reverse())), expected);
      }),
      { numRuns: 60 },
    );
  });

  it('refuses patches that overlap or leave the image', () => {
    const image = memoryImage(noise(100));
    const bytes = noise(10);
    expect(() => patchImage(image, [{ offset: 95, bytes }])).toThrow(RangeError);
    expect(() =>
      patchImage(image, [
        { offset: 10, bytes },
        { offset: 15, bytes },
      ]),
    ).toThrow(/overlaps/);
  });
});

describe('growImage', () => {
  it('appends zeros and never shrinks', async () => {
    const image = growImage(memoryImage(noise(10)), 20);
    expectSame(await bytesOf(image), Buffer.concat([noise(10), Buffer.alloc(10)]));
    expect(() => growImage(image, 19)).toThrow(RangeError);
  });
});

describe('surveyImage', () => {
  const bytes = Buffer.concat([noise(MiB), Buffer.alloc(3 * MiB), noise(200 * KiB, 3), Buffer.alloc(100 * KiB)]);

  it('gives the same identity for the same bytes, wherever they come from and however they grow', async () => {
    const base = await surveyImage(memoryImage(bytes));
    const sparse = imageOf([
      { kind: 'range', length: MiB, source: bytesReader('start', bytes), offset: 0 },
      { kind: 'zeros', length: 3 * MiB },
      { kind: 'bytes', length: 300 * KiB, bytes: bytes.subarray(4 * MiB) },
    ]);
    expect((await surveyImage(sparse)).identity).toBe(base.identity);
    expect((await surveyImage(growImage(memoryImage(bytes), 9 * MiB))).identity).toBe(base.identity);
  });

  it('gives another identity for any other byte, whether the original is known or not', async () => {
    const source = bytesReader('base', bytes);
    const plain = imageOf([{ kind: 'range', length: bytes.length, source, offset: 0 }]);
    const known = await surveyImage(plain);
    for (const offset of [0, 70_000, 2 * MiB, bytes.length - 1]) {
      const patched = patchImage(plain, [{ offset, bytes: Buffer.from([(bytes[offset] ?? 0) ^ 1]) }]);
      const survey = await surveyImage(patched, { known });
      expect(survey.identity).not.toBe(known.identity);
      expect(survey.identity).toBe((await surveyImage(patched)).identity);
      expectSame(await bytesOf(survey), await bytesOf(patched));
    }
  });

  it('reads only what differs from an image that it knows', async () => {
    let read = 0;
    const inner = bytesReader('base', noise(8 * MiB));
    const source = {
      ...inner,
      read: (offset: number, length: number) => {
        read += length;
        return inner.read(offset, length);
      },
    };
    const plain = imageOf([{ kind: 'range', length: 8 * MiB, source, offset: 0 }]);
    const known = await surveyImage(plain);
    expect(read).toBe(8 * MiB);
    await surveyImage(patchImage(plain, [{ offset: 3 * MiB + 5, bytes: noise(10) }]), { known });
    expect(read).toBeLessThan(9.1 * MiB);
  });

  it('turns clusters of zeros into zero extents', async () => {
    const survey = await surveyImage(memoryImage(bytes));
    const zeros = survey.extents.filter(({ kind }) => kind === 'zeros').reduce((sum, { length }) => sum + length, 0);
    expect(zeros).toBe(3 * MiB + 44 * KiB);
  });
});
