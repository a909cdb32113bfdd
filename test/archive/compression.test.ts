import { createHash, getRandomValues } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { deflateRawSync, gunzipSync, gzipSync, inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Compression,
  compressSmallest,
  compressToFit,
  decompress,
  decompressStream,
  decompressXz,
  deflateRaw,
  inflateRaw,
  readArchives,
  writeArchive,
  zstdCompress,
  zstdDecompress,
} from '../../src/archive/index.ts';

const compressions: readonly Compression[] = ['gzip', 'xz', 'zstd'];
const packed = (compression: Compression, bytes: Uint8Array) =>
  Buffer.from(compressSmallest(bytes, { among: [compression] }).bytes);
const archive = writeArchive([
  { path: 'config.ign', mode: 0o100600, data: Buffer.from('{"ignition":{"version":"3.4.0"}}'.repeat(20)) },
]);
const text = Buffer.from(Array.from({ length: 20_000 }, (_, index) => `line ${index * 7919}\n`).join(''));

async function stream(compression: Compression, chunks: readonly Uint8Array[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  await pipeline(Readable.from(chunks), decompressStream(compression, 'a.img'), async (source) => {
    for await (const part of source) parts.push(part);
  });
  return Buffer.concat(parts);
}

function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

describe('compressToFit', () => {
  it('takes xz -9 where it fits, and what is smaller where it does not', () => {
    const first = compressToFit(text, text.length);
    expect(first.compression).toBe('xz');
    const smallest = compressSmallest(text);
    expect(smallest.bytes.length).toBeLessThan(first.bytes.length);
    expect(compressToFit(text, first.bytes.length - 1)).toEqual(smallest);
    expect(compressToFit(text, 1, { among: ['none'] })).toEqual({ bytes: text, compression: 'none' });
  });
});

describe('compressSmallest', () => {
  it('takes the smallest of the four', () => {
    const { bytes, compression } = compressSmallest(text);
    const sizes = compressions.map((each) => packed(each, text).length);
    expect(compressions).toContain(compression);
    expect(bytes.length).toBe(Math.min(...sizes));
  });

  it('leaves alone what does not become smaller', () => {
    const noise = getRandomValues(new Uint8Array(500));
    expect(compressSmallest(noise)).toEqual({ bytes: noise, compression: 'none' });
    expect(compressSmallest(new Uint8Array())).toEqual({ bytes: new Uint8Array(), compression: 'none' });
  });

  it('gives these very bytes on every machine and with every Node', () => {
    const digests = compressions.map((each) => createHash('sha256').update(packed(each, text)).digest('hex'));
    expect(digests).toMatchInlineSnapshot(`
      [
        "83e2eaa73c12d65401bb1a269f79e2d88b6e3f7e6b4315aefbdd17cd99485f14",
        "f89b531c7dd92be49e8bf25343111f3cdba78c20f9994fe160a9205c137db533",
        "1d845bba69bc90f06357954fbf83fea0f8fb26273373ba66ab582fa122397f6d",
      ]
    `);
  });

  it('writes xz with the check that the kernel knows, and a dictionary of the size of the data', () => {
    const xz = packed('xz', archive);
    expect(xz.subarray(6, 8)).toEqual(Buffer.from([0, 1]));
    // The block's only filter is LZMA2, whose property 0 stands for 4 KiB.
    expect([...xz.subarray(14, 17)]).toEqual([0x21, 0x01, 0x00]);
  });

  it('writes gzip without a time or a system', () => {
    expect([...packed('gzip', archive).subarray(0, 9)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2]);
    expect(gunzipSync(packed('gzip', text))).toEqual(text);
  });
});

describe.each(compressions)('%s', (compression) => {
  const whole = packed(compression, text);
  const small = packed(compression, archive);

  it('comes back from one piece and from many', async () => {
    expect(decompress(compression, whole, { limit: text.length })).toEqual(text);
    expect(await stream(compression, [whole])).toEqual(text);
    expect(await stream(compression, cut(whole, 7))).toEqual(text);
  });

  it('goes on with the next stream of a file', async () => {
    const twice = Buffer.concat([whole, small]);
    const expected = Buffer.concat([text, archive]);
    expect(await stream(compression, [twice])).toEqual(expected);
    expect(await stream(compression, cut(twice, 1000))).toEqual(expected);
  });

  it('decompresses a lot of nothing in pieces', async () => {
    const zeros = Buffer.alloc(5 * 1024 * 1024 + 3);
    expect((await stream(compression, [packed(compression, zeros)])).equals(zeros)).toBe(true);
  });

  it('says where a file is truncated', async () => {
    await expect(stream(compression, [whole.subarray(0, -3)])).rejects.toThrow(
      `a.img is truncated: its ${compression} data ends at byte ${whole.length - 3}`,
    );
    await expect(stream(compression, [])).rejects.toThrow(`a.img is truncated: its ${compression} data ends at byte 0`);
  });

  it('refuses what follows the end', async () => {
    await expect(stream(compression, [whole, Buffer.from('and more, which is no header')])).rejects.toThrow(
      new RegExp(`a\\.img can't be decompressed: the ${compression} data is damaged at byte`),
    );
  });

  it('stops at the limit', () => {
    const limit = text.length - 1;
    expect(() => decompress(compression, whole, { limit, name: 'a.img' })).toThrow(
      'the contents of a.img unpack to more than the allowed',
    );
    const bomb = packed(compression, writeArchive([{ path: 'a', mode: 0o100600, data: Buffer.alloc(1_000_000) }]));
    expect(() => readArchives(bomb, { limit: 1_000_000 })).toThrow('the archives unpack to more than the allowed');
    expect(() => readArchives(Buffer.concat([bomb, bomb]), { limit: 1_500_000 })).toThrow(/more than the allowed/);
    expect(readArchives(bomb, { limit: 1_100_000 })).toHaveLength(1);
  });

  it('is found in any place of an initramfs', () => {
    const bytes = Buffer.concat([archive, small, Buffer.alloc(3), small, Buffer.alloc(64 - (small.length % 4)), small]);
    expect(readArchives(bytes).map(({ path }) => path)).toEqual(Array(4).fill('config.ign'));
  });

  it('may hold several archives, but nothing else', () => {
    const several = Buffer.concat([archive, Buffer.alloc(512), archive]);
    expect(readArchives(packed(compression, several))).toHaveLength(2);
    expect(() => readArchives(packed(compression, Buffer.concat([archive, Buffer.from('junk')])))).toThrow(
      `the ${compression} archive at offset 0 is damaged inside: there is something else at its byte ${archive.length}`,
    );
    expect(() => readArchives(packed(compression, text))).toThrow(/something else at its byte 0/);
  });

  it('names the place of damage in an initramfs', () => {
    const broken = Buffer.from(small);
    broken.fill(0xa5, 20, 40);
    expect(() => readArchives(Buffer.concat([archive, broken]))).toThrow(
      new RegExp(`the ${compression} data .* at offset \\d+, in the archive at offset ${archive.length}`),
    );
    expect(() => readArchives(small.subarray(0, -2))).toThrow(
      `the ${compression} data ends too early at offset ${small.length - 2}, in the archive at offset 0`,
    );
  });

  it('survives damage anywhere', () => {
    const change = fc.tuple(fc.nat(small.length - 1), fc.integer({ min: 1, max: 255 }));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 3 }), fc.nat(small.length), (edits, length) => {
        const bytes = Buffer.from(small);
        for (const [offset, mask] of edits) bytes[offset] = (bytes[offset] ?? 0) ^ mask;
        try {
          readArchives(bytes.subarray(0, length), { limit: 100_000 });
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect(error).not.toBeInstanceOf(RangeError);
          expect((error as Error).message).toMatch(/offset \d+|more than the allowed/);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('padding', () => {
  it('of xz comes in fours', async () => {
    const xz = packed('xz', archive);
    expect(await stream('xz', [xz, Buffer.alloc(8), xz, Buffer.alloc(4)])).toEqual(Buffer.concat([archive, archive]));
    await expect(stream('xz', [xz, Buffer.alloc(3)])).rejects.toThrow(/isn't a multiple of four/);
    await expect(stream('xz', [xz, Buffer.alloc(5), xz])).rejects.toThrow(/isn't a multiple of four/);
    expect(decompressXz(Buffer.concat([xz, xz]), { limit: 2 * archive.length })).toHaveLength(2 * archive.length);
  });

  it('of gzip may be any zeros', async () => {
    expect(await stream('gzip', [packed('gzip', archive), Buffer.alloc(513)])).toEqual(archive);
  });
});

describe('other compressions', () => {
  it.each([
    ['bzip2', '425a6839'],
    ['lz4', '02214c18'],
    ['lzo', '894c5a4f'],
    ['lzma', '5d000080'],
  ])('%s is named', (name, magic) => {
    expect(() => readArchives(Buffer.from(magic, 'hex'))).toThrow(
      `the archive at offset 0 is compressed with ${name}: use gzip, xz or zstd`,
    );
  });
});

describe('pieces of disk images', () => {
  const cluster = text.subarray(0, 65_536);

  it('zstd ignores the rest of the sector', () => {
    const frame = zstdCompress(cluster, 3) ?? Buffer.alloc(0);
    expect(frame.length).toBeGreaterThan(100);
    expect(zstdDecompress(Buffer.concat([frame, Buffer.from('rest')]), cluster.length)).toEqual(cluster);
    expect(() => zstdDecompress(frame, cluster.length - 1)).toThrow(/more than the allowed/);
    expect(() => zstdDecompress(frame.subarray(0, -1), cluster.length)).toThrow(/truncated/);
    expect(() => zstdDecompress(Buffer.alloc(100, 1), cluster.length)).toThrow(/damaged/);
  });

  it('deflate ignores the rest of the sector', () => {
    const data = deflateRawSync(cluster);
    expect(inflateRaw(Buffer.concat([data, Buffer.from('rest')]), cluster.length)).toEqual(cluster);
    expect(() => inflateRaw(data, cluster.length - 1)).toThrow(/more than the allowed/);
    expect(() => inflateRaw(data.subarray(0, -5), cluster.length)).toThrow(/damaged or truncated/);
  });

  it('deflates on every level, and not at all what would grow', () => {
    const lines = Buffer.from(Array.from({ length: 9000 }, (_, i) => `line ${i * 7919} of a file\n`).join(''));
    const sizes = [1, 6, 12].map((level) => {
      const deflated = deflateRaw(lines, level) ?? Buffer.alloc(0);
      expect(inflateRawSync(deflated)).toEqual(lines);
      return deflated.length;
    });
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(deflateRaw(getRandomValues(new Uint8Array(60_000)))?.length ?? 0).toBeLessThan(61_024);
  });

  it('gives back whatever was compressed', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 3000 }),
      fc
        .array(fc.constantFrom('kernel', 'argument', '=', ' '), { maxLength: 2000 })
        .map((parts) => Buffer.from(parts.join(''))),
    );
    fc.assert(
      fc.property(bytes, (data) => {
        const same = (result: Uint8Array) => expect(Buffer.compare(result, data)).toBe(0);
        same(zstdDecompress(zstdCompress(data, 3) ?? Buffer.alloc(0), data.length));
        same(inflateRaw(deflateRaw(data) ?? Buffer.alloc(0), Math.max(data.length, 1)));
        same(gunzipSync(packed('gzip', data)));
        same(decompress('gzip', gzipSync(data), { limit: data.length }));
        same(decompressXz(packed('xz', data), { limit: data.length }));
      }),
      { numRuns: 60 },
    );
  });
});
