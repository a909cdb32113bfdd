import { createHash, randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeBlock } from '../../src/container/block-encoder.ts';
import { blocks, compress } from '../../src/container/compress.ts';
import { BLOCK, type Slot, slotsOf, slotsSize } from '../../src/container/slots.ts';

async function* cut(bytes: Buffer, size: number) {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Bytes that look random and are always the same. */
function noise(length: number): Buffer {
  const parts: Buffer[] = [];
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(String(i)).digest());
  return Buffer.concat(parts).subarray(0, length);
}

const text = Buffer.from('the same line over and over, with a number\n'.repeat(100_000));
const mixed = Buffer.concat([text, noise(700_000), text.subarray(0, 1_000_000)]);

describe('compression', () => {
  it('gives back what went in, and the same bytes however it was cut and however many threads there are', async () => {
    const whole = await collect(compress(cut(mixed, mixed.length), 'gzip', 0));
    expect(gunzipSync(whole).equals(mixed)).toBe(true);
    for (const threads of [0, 1, 3]) {
      expect((await collect(compress(cut(mixed, 77_777), 'gzip', threads))).equals(whole)).toBe(true);
    }
  });

  // A golden digest: whatever changes it changes the digest of every image, and breaks the promise to old ones.
  it('does not depend on the machine', async () => {
    const digest = async (compression: 'gzip' | 'zstd') =>
      createHash('sha256')
        .update(await collect(compress(cut(mixed, 65_536), compression)))
        .digest('hex');
    expect(await digest('gzip')).toMatchInlineSnapshot(
      `"7b54b908b1c6a6735addb18363ac7d9c342bc9b2bf2f7503578183e3cfd0efc0"`,
    );
    expect(await digest('zstd')).toMatchInlineSnapshot(
      `"6d43766ae042cc9b9a57494e6ae38fd28b82694e35cf61ba50726f627913229c"`,
    );
  });

  it('spends nothing on random bytes and shrinks text', () => {
    const random = noise(1024 * 1024);
    expect(encodeBlock(random, 'gzip').length).toBeLessThan(random.length + 200);
    expect(encodeBlock(text.subarray(0, 1024 * 1024), 'gzip').length).toBeLessThan(20_000);
  });

  it('takes random bytes for random with headers of an archive between them, and no table for random', () => {
    const header = Buffer.alloc(1024, 'some/name\0');
    const archive = Buffer.concat(Array.from({ length: 10 }, (_, i) => [header, noise(100_000 + i)]).flat());
    expect(encodeBlock(archive, 'gzip').length).toBeGreaterThan(archive.length);
    const table = Buffer.from(noise(1024 * 1024).map((byte, i) => (i % 4 === 0 ? byte : i % 4)));
    expect(encodeBlock(table, 'gzip').length).toBeLessThan(table.length / 2);
  });

  it('is reversible for any bytes', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      fc.nat(200_000).map((length) => randomBytes(length)),
      fc.tuple(fc.nat(255), fc.nat(200_000)).map(([value, length]) => Buffer.alloc(length, value)),
    );
    fc.assert(
      fc.property(fc.array(piece, { minLength: 1, maxLength: 6 }), (pieces) => {
        const bytes = Buffer.concat([Buffer.from('x'), ...pieces]);
        expect(gunzipSync(encodeBlock(bytes, 'gzip')).equals(bytes)).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('passes on the failure of its source', async () => {
    async function* failing() {
      yield text;
      throw new Error('unreadable');
    }
    await expect(collect(compress(failing(), 'gzip'))).rejects.toThrow('unreadable');
  });
});

describe('blocks', () => {
  it('are full but for the last', async () => {
    const memory = slotsOf(new SharedArrayBuffer(slotsSize(3)));
    const bytes = noise(2 * BLOCK + 5);
    const lengths: number[] = [];
    const copies: Buffer[] = [];
    const next = memory[Symbol.iterator]();
    for await (const { slot, length } of blocks(cut(bytes, 300_000), () => next.next().value as Slot)) {
      lengths.push(length);
      copies.push(Buffer.from(slot.block.subarray(0, length)));
    }
    expect(lengths).toEqual([BLOCK, BLOCK, 5]);
    expect(Buffer.concat(copies).equals(bytes)).toBe(true);
  });
});
