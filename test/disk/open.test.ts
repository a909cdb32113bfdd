import zlib from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  assertBootableAsDisk,
  growImage,
  imageOf,
  openImage,
  qcow2Image,
  surveyImage,
  vdiImage,
  writeCompressedQcow2,
} from '../../src/disk/index.ts';
import { zstdFrameLength } from '../../src/disk/zstd-frame.ts';
import { bytesReader, FileReader } from '../../src/io/reader.ts';
import { KiB, MiB } from '../../src/io/sizes.ts';
import { bytesOf, expectSame, memoryImage, noise, readerOf, temporaryFolder } from '../support/disk.ts';

const content = Buffer.concat([
  noise(100_000),
  Buffer.alloc(2 * MiB),
  Buffer.alloc(300_000, 'compressible '),
  noise(1024 - 512),
]);
const padded = Buffer.concat([content, Buffer.alloc(-content.length & 511)]);

async function compressed(compression: 'zlib' | 'zstd'): Promise<Buffer> {
  await using folder = await temporaryFolder();
  await writeCompressedQcow2(await surveyImage(memoryImage(content)), folder.path('c'), { compression });
  await using reader = await FileReader.open(folder.path('c'));
  return reader.read(0, reader.size);
}

/** A file of each format with the same contents. */
async function samples(): Promise<Record<string, Buffer>> {
  const survey = await surveyImage(memoryImage(content));
  return {
    qcow2: await bytesOf(qcow2Image(survey)),
    vdi: await bytesOf(vdiImage(survey)),
    zlib: await compressed('zlib'),
    ...('zstdCompress' in zlib && { zstd: await compressed('zstd') }),
  };
}

describe('openImage', () => {
  it('reads every format that is written here, and raw', async () => {
    for (const bytes of [content, ...Object.values(await samples())]) {
      expectSame(await bytesOf(await openImage(bytesReader('image', bytes))), padded);
    }
  });

  it('gives the same survey for the same disk in any format', async () => {
    const { identity } = await surveyImage(memoryImage(content));
    for (const bytes of Object.values(await samples())) {
      expect((await surveyImage(await openImage(bytesReader('image', bytes)))).identity).toBe(identity);
    }
  });

  it('is an error for every truncation of the tables or the data, never zeros', async () => {
    for (const [format, bytes] of Object.entries(await samples())) {
      const end = format === 'vdi' || format === 'qcow2' ? lastByte(bytes) : bytes.length;
      for (const size of [70, 500, 4 * KiB, 70 * KiB, 200 * KiB, Math.floor(end / 2), end - 1]) {
        const cut = bytesReader('cut.img', bytes.subarray(0, size));
        const reading = openImage(cut).then((image) => bytesOf(image));
        await expect(reading, `${format} cut to ${size}`).rejects.toThrow(/cut\.img/);
      }
    }
  });

  it('survives damage anywhere: an error or an image, in bounded time', async () => {
    const files = Object.values(await samples()).map((bytes) => bytes.subarray(0, 460 * KiB));
    const place = fc.oneof(fc.nat(127), fc.nat(1023), fc.integer({ min: 64 * KiB, max: 64 * KiB * 6 }));
    const damage = fc.array(fc.tuple(place, fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.nat(files.length - 1), damage, async (file, changes) => {
        const bytes = Buffer.from(files[file] ?? Buffer.alloc(0));
        for (const [offset, value] of changes) bytes[offset] = value;
        try {
          const image = await openImage(bytesReader('fuzzed', bytes));
          expect(image.extents.length).toBeLessThan(10_000);
          const read = image.extents.filter((extent) => extent.kind === 'range').slice(0, 40);
          for (const { source, offset, length } of read) await source.read(offset, Math.min(length, MiB));
        } catch (error) {
          expect((error as Error).message).toMatch(/fuzzed/);
        }
      }),
      { numRuns: 400 },
    );
  });

  it.each<[string, (bytes: Buffer) => void, RegExp]>([
    ['a backing file', (b) => b.writeUInt32BE(512, 12), /backing file.*qemu-img convert/],
    ['encryption', (b) => b.writeUInt32BE(1, 32), /encrypted/],
    ['version 4', (b) => b.writeUInt32BE(4, 4), /version 4/],
    ['tiny clusters', (b) => b.writeUInt32BE(3, 20), /clusters of 2\^3/],
    ['an absurd size', (b) => b.writeBigUInt64BE(2n ** 63n, 24), /virtual size is 9223372036854775808/],
    ['a size without tables', (b) => b.writeBigUInt64BE(2n ** 50n, 24), /L1 table of 1 entries/],
    ['an absurd L1 table', (b) => b.writeUInt32BE(0xffffffff, 36), /L1 table of 4294967295 entries/],
    ['an L1 table behind the end', (b) => b.writeBigUInt64BE(2n ** 40n, 40), /truncated or damaged/],
    ['an external data file', (b) => b.writeUInt32BE(4, 76), /another file/],
    ['extended L2 entries', (b) => b.writeUInt32BE(16, 76), /extended L2/],
    ['an unknown feature', (b) => b.writeUInt32BE(0x100, 76), /features that are not known \(0x100\)/],
    ['a corrupt mark', (b) => b.writeUInt32BE(2, 76), /marked as corrupt/],
  ])('refuses a QCOW2 with %s', async (_, change, message) => {
    const bytes = await bytesOf(qcow2Image(memoryImage(content)));
    change(bytes);
    await expect(openImage(bytesReader('bad.qcow2', bytes))).rejects.toThrow(message);
  });

  it('refuses a QCOW2 whose tables point twice to a cluster, or behind the end', async () => {
    const layout = qcow2Image(memoryImage(noise(256 * KiB)));
    const l2 = layout.size - 256 * KiB - 64 * KiB;
    const twice = await bytesOf(layout);
    twice.copy(twice, l2 + 8, l2, l2 + 8);
    await expect(openImage(bytesReader('bad', twice))).rejects.toThrow(/point twice to a cluster/);
    const outside = await bytesOf(layout);
    outside.writeUInt32BE(0x10000000, l2 + 4);
    await expect(openImage(bytesReader('bad', outside))).rejects.toThrow(/a cluster at 268435456 lies behind its end/);
  });

  it.each<[string, (bytes: Buffer) => void, RegExp]>([
    ['another version', (b) => b.writeUInt32LE(0x10000, 68), /version 1\.0/],
    ['a parent', (b) => b.writeUInt8(1, 440), /parent image/],
    ['another type', (b) => b.writeUInt32LE(4, 76), /neither a dynamic nor a fixed/],
    ['odd blocks', (b) => b.writeUInt32LE(1000, 376), /blocks of 1000 bytes/],
    ['too few blocks', (b) => b.writeBigUInt64LE(2n ** 60n, 368), /don't hold/],
    ['a map behind the end', (b) => b.writeUInt32LE(0xffff0000, 340), /truncated or damaged/],
    ['a block behind the end', (b) => b.writeUInt32LE(0xff000000, 344), /block at 4278190080 lies behind/],
    ['a block used twice', (b) => b.writeUInt32LE(0, 512 + 8), /point twice to a block/],
    ['a block that there is none of', (b) => b.writeUInt32LE(77, 512), /block 77 of 3/],
  ])('refuses a VDI with %s', async (_, change, message) => {
    const bytes = await bytesOf(vdiImage(await surveyImage(memoryImage(content))));
    change(bytes);
    await expect(openImage(bytesReader('bad.vdi', bytes))).rejects.toThrow(message);
  });

  it('reads a zero block of a VDI as zeros', async () => {
    const reader = await readerOf(vdiImage(await surveyImage(memoryImage(content))));
    const bytes = await reader.read(0, reader.size);
    bytes.writeUInt32LE(0xfffffffe, 512);
    const expected = Buffer.from(padded).fill(0, 0, MiB);
    expectSame(await bytesOf(await openImage(bytesReader('zero.vdi', bytes))), expected);
  });

  it('refuses what nobody means as a raw disk', async () => {
    const packed = bytesReader('a.raw.gz', zlib.gzipSync('disk'));
    await expect(openImage(packed)).rejects.toThrow('"a.raw.gz" is compressed with gzip: unpack it first');
    await expect(openImage(bytesReader('a', Buffer.from('KDMV'.padEnd(512))))).rejects.toThrow(/VMDK.*qemu-img/);
  });

  it('opens an empty file as an empty disk', async () => {
    expect((await openImage(bytesReader('empty', Buffer.alloc(0)))).size).toBe(0);
  });
});

describe('zstdFrameLength', () => {
  it.skipIf(!('zstdCompressSync' in zlib))('finds the end of a frame', () => {
    for (const bytes of [noise(70_000), Buffer.alloc(70_000), Buffer.alloc(0), Buffer.from('a')]) {
      for (const checksum of [0, 1]) {
        const params = { [zlib.constants.ZSTD_c_checksumFlag]: checksum };
        const frame = zlib.zstdCompressSync(bytes, { params });
        expect(zstdFrameLength(Buffer.concat([frame, noise(100)]))).toBe(frame.length);
        expect(() => zstdFrameLength(frame.subarray(0, -1))).toThrow(RangeError);
      }
    }
  });
});

/** Where the last non-zero byte is: what is cut off behind it is padding. */
function lastByte(bytes: Buffer): number {
  let end = bytes.length;
  while (bytes[end - 1] === 0) end--;
  return end;
}

describe('assertBootableAsDisk', () => {
  const iso = (mbr: boolean, partition: boolean) => {
    const bytes = Buffer.alloc(40_000);
    bytes.write('\x01CD001', 32768, 'latin1');
    if (mbr) bytes.writeUInt16BE(0x55aa, 510);
    if (partition) bytes.writeUInt8(0x17, 446 + 4);
    return memoryImage(bytes);
  };

  it('refuses an ISO without a boot record, and says how to attach it', async () => {
    for (const [mbr, partition] of [
      [false, false],
      [false, true],
      [true, false],
    ] as const) {
      await expect(assertBootableAsDisk(iso(mbr, partition), 'live.iso')).rejects.toThrow(
        /"live.iso".*CD-ROM.*isohybrid/,
      );
    }
  });

  it('lets hybrid ISOs and other images through', async () => {
    await assertBootableAsDisk(iso(true, true), 'live.iso');
    await assertBootableAsDisk(memoryImage(noise(1000)), 'disk.raw');
    await assertBootableAsDisk(growImage(imageOf([]), 100_000), 'zeros.raw');
  });
});
