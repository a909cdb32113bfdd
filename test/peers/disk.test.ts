import { execFile } from 'node:child_process';
import { copyFile, open, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import {
  fileImage,
  growImage,
  type Image,
  openImage,
  patchImage,
  qcow2Image,
  SECTOR_SIZE,
  surveyImage,
  vdiImage,
  writeCompressedQcow2,
  writeImage,
  writeImages,
} from '../../src/disk/index.ts';
import { FileReader } from '../../src/io/reader.ts';
import { GiB, KiB, MiB } from '../../src/io/sizes.ts';
import { noise, temporaryFolder } from '../support/disk.ts';
import { describeWithPeers } from '../support/peers.ts';

const run = promisify(execFile);
const CLUSTER = 64 * KiB;
const qemuImg = (...args: string[]) => run('qemu-img', args);

/** Writes every format from the same disk; qemu-img must find nothing, and the raw file's contents in each. */
async function compareAll(disk: Image, raw: string, name: (format: string) => string): Promise<void> {
  const survey = await surveyImage(disk);
  const files = { qcow2: name('qcow2'), vdi: name('vdi'), zlib: name('zlib.qcow2'), zstd: name('zstd.qcow2') };
  await writeImages([
    { image: qcow2Image(survey), path: files.qcow2 },
    { image: vdiImage(survey), path: files.vdi },
  ]);
  for (const compression of ['zlib', 'zstd'] as const) {
    await writeCompressedQcow2(survey, files[compression], { compression });
  }
  for (const [kind, file] of Object.entries(files)) {
    const format = kind === 'vdi' ? 'vdi' : 'qcow2';
    // Both fail with an exit code if there is anything to say.
    await qemuImg('check', '-f', format, file);
    await qemuImg('compare', '-f', 'raw', '-F', format, raw, file).catch((error: Error) => {
      throw new Error(`${kind} of ${disk.size} bytes: ${error.message}`);
    });
    const { stdout } = await qemuImg('info', '--output=json', '-f', format, file);
    expect(JSON.parse(stdout)['virtual-size']).toBe(disk.size);
  }
}

describeWithPeers('images beside qemu-img', ['qemu-img'], () => {
  it.each([
    ...[0, 1, 511, 512, 513, CLUSTER - 1, CLUSTER, CLUSTER + 1, 3 * CLUSTER - 512],
    ...[MiB - 1, MiB, MiB + 1, MiB + CLUSTER, 2 * MiB + 513],
  ])('are clean and identical for %i bytes, as they are, grown and of zeros', async (size) => {
    await using folder = await temporaryFolder();
    for (const [kind, bytes] of [
      ['data', noise(size)],
      ['zeros', Buffer.alloc(size)],
    ] as const) {
      const path = folder.path(`${kind}.raw`);
      await writeFile(path, bytes);
      await using reader = await FileReader.open(path);
      const own = Math.ceil(size / SECTOR_SIZE) * SECTOR_SIZE;
      for (const grown of [own, own + 512, 60 * GiB]) {
        await truncate(path, grown);
        const disk = growImage(fileImage(reader), grown);
        if (grown > 0) await compareAll(disk, path, (format) => folder.path(`${kind}-${grown}.${format}`));
      }
    }
  });

  it('are clean for disks around the edge of an L2 table', async () => {
    await using folder = await temporaryFolder();
    for (const size of [512 * MiB, 512 * MiB + 512]) {
      const path = folder.path(`${size}.raw`);
      await using file = await open(path, 'wx');
      await file.truncate(size);
      for (const place of [0, 511 * MiB, size - 100]) await file.write(noise(100), 0, 100, place);
      await using reader = await FileReader.open(path);
      await compareAll(fileImage(reader), path, (format) => folder.path(`${size}.${format}`));
    }
  });

  it('are identical when patched and sparse at random', async () => {
    await using folder = await temporaryFolder();
    for (const seed of [1, 2, 3]) {
      const random = noise(64, seed);
      const path = folder.path(`${seed}.raw`);
      await using file = await open(path, 'wx+');
      await file.truncate(24 * MiB);
      for (let i = 0; i < 12; i++) {
        const length = 1 + random.readUInt16LE(4 * i) * 3;
        await file.write(noise(length, seed + i), 0, length, random.readUInt16LE(4 * i + 2) * 360);
      }
      await copyFile(path, folder.path('base'));
      const patches = [5, 3 * MiB + 1, 23 * MiB].map((offset) => ({ offset, bytes: noise(70_000, offset) }));
      for (const { offset, bytes } of patches) await file.write(bytes, 0, bytes.length, offset);
      await using reader = await FileReader.open(folder.path('base'));
      const disk = patchImage(fileImage(reader), patches);
      await compareAll(disk, path, (format) => folder.path(`${seed}.${format}`));
    }
  });

  it.each([
    'qcow2',
    'qcow2 -o compat=0.10',
    'qcow2 -c',
    'qcow2 -c -o compression_type=zstd',
    'qcow2 -c -o compat=0.10,cluster_size=4k',
    'qcow2 -o cluster_size=512',
    'qcow2 -c -o cluster_size=2M',
    'qcow2 -o preallocation=metadata',
    'qcow2 -o preallocation=full',
    'vdi',
    'vdi -o static=on',
  ])('qemu-img writes %s, and it is read here', async (variant) => {
    const [format = '', ...options] = variant.split(' ');
    await using folder = await temporaryFolder();
    const raw = folder.path('disk.raw');
    const parts = [noise(300_001), Buffer.alloc(5 * MiB), Buffer.alloc(MiB, 'abc'), noise(1535)];
    await writeFile(raw, Buffer.concat(parts));
    const file = folder.path(`disk.${format}`);
    await qemuImg('convert', '-f', 'raw', '-O', format, ...options, raw, file);
    await using reader = await FileReader.open(file);
    const opened = await openImage(reader);
    expect(opened.format).toBe(format);
    await writeImage(opened, folder.path('copy.raw'));
    await qemuImg('compare', '-f', 'raw', '-F', 'raw', raw, folder.path('copy.raw'));
    await compareAll(opened, folder.path('copy.raw'), (other) => folder.path(`again.${other}`));
  });

  it('reads a QCOW2 with zero clusters, snapshots and a used last cluster', async () => {
    await using folder = await temporaryFolder();
    const file = folder.path('disk.qcow2');
    await qemuImg('create', '-f', 'qcow2', file, '1000000');
    const commands = ['write -P 7 0 200k', 'write -P 9 990000 4k', 'write -z 64k 64k'];
    const io = (...list: string[]) => run('qemu-io', [...list.flatMap((command) => ['-c', command]), file]);
    await io(...commands);
    await qemuImg('snapshot', '-c', 'before', file);
    await io('write -P 3 10k 50k');
    await qemuImg('convert', '-O', 'raw', file, folder.path('disk.raw'));
    await using reader = await FileReader.open(file);
    await compareAll(await openImage(reader), folder.path('disk.raw'), (format) => folder.path(`copy.${format}`));
  });
});
