import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { divide } from '../../src/disk/divide.ts';
import { type Extent, imageOf, patchImage } from '../../src/disk/image.ts';
import { bytesReader } from '../../src/io/reader.ts';
import { MiB } from '../../src/io/sizes.ts';

/** Never read: only its size counts. */
const source = { ...bytesReader('base', new Uint8Array()), size: 400 * MiB };
const base = imageOf([{ kind: 'range', length: source.size, source, offset: 0 }]);
const isData = ({ kind }: Extent) => kind !== 'zeros';

const images = fc.array(
  fc.record({
    head: fc.integer({ min: 0, max: 3 }),
    zeros: fc.integer({ min: 0, max: 900 }),
    patchAt: fc.integer({ min: 0, max: 399 }),
  }),
  { minLength: 1, maxLength: 12 },
);

describe('divide', () => {
  it('gives every byte to one thread to write, and every image to one to hash', () => {
    fc.assert(
      fc.property(images, fc.integer({ min: 1, max: 9 }), fc.boolean(), (shapes, threads, digest) => {
        const works = shapes.map(({ head, zeros, patchAt }) => {
          const patched = patchImage(base, [{ offset: patchAt * MiB, bytes: new Uint8Array(100) }]);
          const extents: Extent[] = [...patched.extents];
          if (head > 0) extents.unshift({ kind: 'bytes', length: head, bytes: new Uint8Array(head) });
          if (zeros > 0) extents.splice(1, 0, { kind: 'zeros', length: zeros * MiB });
          return { image: imageOf(extents), isWritten: isData };
        });
        const parts = divide(works, { digest, threads });
        expect(parts).toHaveLength(threads);
        for (const [index, { image }] of works.entries()) {
          const shares = parts.flatMap((part) => part.filter((share) => share.index === index));
          expect(shares.filter((share) => share.digest)).toHaveLength(digest ? 1 : 0);
          const ranges = shares.flatMap(({ write }) => write ?? []).sort((a, b) => a.from - b.from);
          expect(ranges[0]?.from).toBe(0);
          expect(ranges.at(-1)?.to).toBe(image.size);
          ranges.slice(1).forEach((range, i) => {
            expect(range.from).toBe(ranges[i]?.to);
          });
        }
        for (const part of parts) {
          for (const { digest: own, index } of part) {
            if (own?.from === undefined) continue;
            expect(own.from).toBeLessThan(index);
            expect(part.some((other) => other.index === own.from && other.digest)).toBe(true);
          }
        }
      }),
    );
  });

  it('lets another thread write what one hashes, and cuts what nobody hashes', () => {
    const works = [{ image: base, isWritten: isData }];
    expect(divide(works, { digest: true, threads: 2 })).toEqual([
      [{ index: 0, write: undefined, digest: { from: undefined, start: 0 } }],
      [{ index: 0, write: { from: 0, to: source.size }, digest: undefined }],
    ]);
    expect(divide(works, { digest: false, threads: 2 })).toEqual([
      [{ index: 0, write: { from: 0, to: 248 * MiB }, digest: undefined }],
      [{ index: 0, write: { from: 248 * MiB, to: source.size }, digest: undefined }],
    ]);
  });

  it('keeps nine images of the same size in balance', () => {
    const works = Array.from({ length: 9 }, (_, i) => ({
      image: imageOf([{ kind: 'bytes', length: 1, bytes: Uint8Array.of(i) }, ...base.extents]),
      isWritten: isData,
    }));
    const loads = divide(works, { digest: true, threads: 2 }).map((part) =>
      part.reduce(
        (sum, { digest, write }) => sum + (digest ? 3 * 400 : 0) + (write ? (write.to - write.from) / MiB : 0),
        0,
      ),
    );
    const [a = 0, b = 0] = loads;
    expect(Math.abs(a - b) / (a + b)).toBeLessThan(0.05);
  });
});
