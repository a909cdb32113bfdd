import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  assertSpace,
  digestImages,
  fileImage,
  growImage,
  type Image,
  imageOf,
  patchImage,
  qcow2Image,
  surveyImage,
  vdiImage,
  writeCompressedQcow2,
  writeImage,
  writeImages,
} from '../../src/disk/index.ts';
import { bytesReader, FileReader, type Reader } from '../../src/io/reader.ts';
import { KiB, MiB } from '../../src/io/sizes.ts';
import { expectSame, memoryImage, noise, temporaryFolder } from '../support/disk.ts';

async function sha256Of(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

/** What makes a disk full: no write to it succeeds. */
function fullDisk(size: number, error: Error): Reader {
  return { ...bytesReader('base', new Uint8Array(size)), read: () => Promise.reject(error) };
}

describe('writeImages', () => {
  it('writes what a copy would be, with the right digests, for images that share a beginning or nothing', async () => {
    await using folder = await temporaryFolder();
    const base = Buffer.concat([noise(5 * MiB + 100), Buffer.alloc(3 * MiB), noise(700 * KiB, 5)]);
    await writeFile(folder.path('base'), base);
    await using reader = await FileReader.open(folder.path('base'));
    const plain = fileImage(reader);
    const patchesOf = (role: number) => [
      { offset: 3 * MiB + 17, bytes: noise(90_000, role) },
      { offset: 8 * MiB, bytes: noise(10, role) },
    ];
    const images: Image[] = [plain, plain];
    for (const role of [1, 2, 3]) {
      const iso = patchImage(plain, patchesOf(role));
      const disk = growImage(await surveyImage(iso), 20 * MiB);
      images.push(iso, qcow2Image(disk), vdiImage(disk), disk);
    }
    const written = await writeImages(images.map((image, i) => ({ image, path: folder.path(`out-${i}`) })));
    const roleBytes = Buffer.from(base);
    for (const { offset, bytes } of patchesOf(2)) roleBytes.set(bytes, offset);
    expectSame(await readFile(folder.path('out-0')), base);
    expectSame(await readFile(folder.path('out-6')), roleBytes);
    expectSame(await readFile(folder.path('out-9')), Buffer.concat([roleBytes, Buffer.alloc(20 * MiB - base.length)]));
    for (const [i, { path, sha256, size }] of written.entries()) {
      expect([path, sha256]).toEqual([path, await sha256Of(path)]);
      expect(size).toBe(images[i]?.size);
    }
    expect(await digestImages(images)).toEqual(written.map(({ sha256 }) => sha256));
  });

  it('leaves holes where there are zeros', async () => {
    await using folder = await temporaryFolder();
    await writeImage(growImage(memoryImage(noise(MiB)), 512 * MiB), folder.path('sparse'), { digest: false });
    const { size, blocks } = await stat(folder.path('sparse'));
    expect(size).toBe(512 * MiB);
    expect(blocks * 512).toBeLessThan(4 * MiB);
  });

  it.each([2, 40])('writes a file of %d MiB patched, with and without a digest', async (size) => {
    await using folder = await temporaryFolder();
    const base = noise(size * MiB + 5);
    await writeFile(folder.path('base'), base, { mode: 0o444 });
    await using reader = await FileReader.open(folder.path('base'));
    const patch = { offset: (size * MiB) / 2 - 9, bytes: noise(3, 9) };
    const image = growImage(patchImage(fileImage(reader), [patch]), (size + 1) * MiB);
    const expected = Buffer.concat([base, Buffer.alloc(MiB - 5)]);
    expected.set(patch.bytes, patch.offset);
    const plain = await writeImage(image, folder.path('plain'), { digest: false });
    expect(plain.sha256).toBe('');
    const hashed = await writeImage(image, folder.path('hashed'));
    expect(hashed.sha256).toBe(createHash('sha256').update(expected).digest('hex'));
    for (const name of ['plain', 'hashed']) {
      expectSame(await readFile(folder.path(name)), expected);
      expect((await stat(folder.path(name))).mode & 0o200).toBe(0o200);
    }
  });

  it('keeps an existing file unless forced', async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.path('a'), 'precious');
    const outputs = ['b', 'a'].map((name) => ({ image: memoryImage(noise(10)), path: folder.path(name) }));
    await expect(writeImages(outputs)).rejects.toThrow(/exists already.*"force"/);
    expect(await readFile(folder.path('a'), 'utf8')).toBe('precious');
    expect(await readdir(folder.path('.'))).toEqual(['a']);
    await writeImages(outputs, { force: true });
    expectSame(await readFile(folder.path('a')), noise(10));
  });

  it('leaves nothing behind when it is interrupted', async () => {
    await using folder = await temporaryFolder();
    const abort = new AbortController();
    const progress = { total: () => {}, advance: () => abort.abort(new Error('interrupted by SIGINT')) };
    const image = memoryImage(noise(20 * MiB));
    const outputs = [{ image, path: folder.path('a') }];
    await expect(writeImages(outputs, { signal: abort.signal, progress })).rejects.toThrow('interrupted by SIGINT');
    const compressed = { signal: abort.signal, compression: 'zlib' } as const;
    await expect(writeCompressedQcow2(image, folder.path('b'), compressed)).rejects.toThrow('interrupted by SIGINT');
    expect(await readdir(folder.path('.'))).toEqual([]);
  });

  it('says what is needed when the disk is full, and keeps nothing', async () => {
    await using folder = await temporaryFolder();
    const error = Object.assign(new Error('write ENOSPC'), { code: 'ENOSPC' });
    const source = fullDisk(5 * MiB, error);
    const image = imageOf([{ kind: 'range', length: source.size, source, offset: 0 }]);
    await expect(writeImage(image, folder.path('a'))).rejects.toThrow(/the disk is full: writing .*a takes 5 MiB/);
    expect(await readdir(folder.path('.'))).toEqual([]);
  });

  it.each([3, 12])('fails when a source of %d MiB turns out to be shorter', async (size) => {
    await using folder = await temporaryFolder();
    await writeFile(folder.path('base'), noise(size * MiB));
    await using reader = await FileReader.open(folder.path('base'));
    const image = patchImage(fileImage(reader), []);
    await writeFile(folder.path('base'), noise(2 * MiB));
    await expect(writeImage(image, folder.path('copy'))).rejects.toThrow(/became shorter/);
    expect(await readdir(folder.path('.'))).toEqual(['base']);
  });
});

describe('assertSpace', () => {
  it('counts what is written, not what is zero, also for a folder that is still to be made', async () => {
    await using folder = await temporaryFolder();
    const zeros = imageOf([{ kind: 'zeros', length: 2 ** 50 }]);
    await assertSpace(folder.path('a/b'), [zeros]);
    const source = fullDisk(0, new Error('not read'));
    const huge = imageOf([{ kind: 'range', length: 2 ** 50, source, offset: 0 }]);
    await expect(assertSpace(folder.path('a/b'), [huge])).rejects.toThrow(/needs 1 PiB of free disk space/);
  });
});

describe('layouts', () => {
  it('are the same for the same bytes, and differ in their UUIDs for others', async () => {
    const image = memoryImage(noise(MiB));
    const vdi = async (bytes: Buffer, size: number) => {
      const [digest] = await digestImages([vdiImage(growImage(await surveyImage(memoryImage(bytes)), size))]);
      return digest;
    };
    expect(await vdi(noise(MiB), 4 * MiB)).toBe(await vdi(noise(MiB), 4 * MiB));
    expect(await vdi(noise(MiB), 4 * MiB)).not.toBe(await vdi(noise(MiB), 5 * MiB));
    const uuid = async (bytes: Buffer) => {
      const [header] = vdiImage(await surveyImage(memoryImage(bytes))).extents;
      return header?.kind === 'bytes' ? Buffer.from(header.bytes.subarray(392, 408)).toString('hex') : '';
    };
    const flipped = noise(MiB);
    flipped[777_777] = (flipped[777_777] ?? 0) ^ 4;
    expect(await uuid(noise(MiB))).toMatch(/^[0-9a-f]{32}$/);
    expect(await uuid(flipped)).not.toBe(await uuid(noise(MiB)));
    expect(qcow2Image(image).size % (64 * KiB)).toBe(0);
  });

  it('refuse a VDI with a block map beyond memory', async () => {
    const image = await surveyImage(imageOf([{ kind: 'zeros', length: 2 ** 50 }]));
    expect(() => vdiImage(image)).toThrow(/VDI of 1 PiB is not supported/);
  });
});
