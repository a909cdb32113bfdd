import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compressSmallest } from '../../src/archive/index.ts';
import { command as extractIso } from '../../src/commands/extract-iso.ts';
import { bytesReader } from '../../src/io/reader.ts';
import { minimalIsoChunks, readMinimalIsoRecipe } from '../../src/iso/miniso.ts';
import { DEFAULT_ARGUMENTS, liveIsoImage, VOLUME_ID } from './layouts.ts';
import { type Given, runCommand } from './run-command.ts';

/** bincode's integers: one byte up to 250, else a mark and two or four bytes. */
function integer(value: number): Buffer {
  if (value <= 250) return Buffer.from([value]);
  const bytes = Buffer.alloc(value <= 0xffff ? 3 : 5);
  bytes[0] = value <= 0xffff ? 251 : 252;
  if (value <= 0xffff) bytes.writeUInt16LE(value, 1);
  else bytes.writeUInt32LE(value, 1);
  return bytes;
}

/** A recipe that takes one file from the full image and the rest from its own data. */
function recipe(minimal: Buffer, file: { minimalSector: number; fullSector: number; length: number }): Buffer {
  const start = file.minimalSector * 2048;
  const rest = Buffer.concat([minimal.subarray(0, start), minimal.subarray(start + file.length)]);
  const packed = compressSmallest(rest, { among: ['xz'] }).bytes;
  return Buffer.concat([
    Buffer.from('MINISO\0\0'),
    integer(1),
    integer(6),
    Buffer.from('0.27.0'),
    integer(1),
    ...[file.minimalSector, file.fullSector, file.length].map(integer),
    createHash('sha256').update(minimal).digest(),
    integer(packed.length),
    packed,
  ]);
}

const minimal = liveIsoImage('igninfo', (tree) => tree.delete('images/pxeboot/rootfs.img'));
const place = Buffer.alloc(4096);
const full = liveIsoImage('igninfo', (tree) => tree.set('coreos/miniso.dat', place));
const shared = 'isolinux/isolinux.bin';
const data = recipe(minimal.image, {
  minimalSector: (minimal.places.get(shared) ?? 0) / 2048,
  fullSector: (full.places.get(shared) ?? 0) / 2048,
  length: 4096,
});
data.copy(full.image, full.places.get('coreos/miniso.dat') ?? 0);

async function unpack(bytes: Buffer, image = full.image): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const parsed = await readMinimalIsoRecipe(bytesReader('miniso.dat', bytes));
  for await (const chunk of minimalIsoChunks(parsed, bytesReader('full.iso', image))) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('the recipe of the minimal ISO', () => {
  it('gives the minimal ISO, whatever stands behind it', async () => {
    expect((await unpack(data)).equals(minimal.image)).toBe(true);
    expect((await unpack(Buffer.concat([data, Buffer.alloc(100)]))).equals(minimal.image)).toBe(true);
  });

  it.each<[string, (bytes: Buffer) => void, string]>([
    ['no recipe', (bytes) => bytes.write('MAXISO'), 'miniso.dat is not a miniso file'],
    ['another version', (bytes) => bytes.writeUInt8(2, 8), 'unknown version 2 (written by coreos-installer "0.27.0")'],
    [
      'another digest',
      (bytes) => bytes.writeUInt8((bytes[24] ?? 0) ^ 1, bytes.indexOf('\xfd7zXZ', 0, 'latin1') - 20),
      'is expected: the ISO is damaged',
    ],
    ['no files', (bytes) => bytes.writeUInt8(0, 16), 'lists no files'],
  ])('is refused: %s', async (_, change, message) => {
    const changed = Buffer.from(data);
    change(changed);
    await expect(unpack(changed)).rejects.toThrow(message);
  });

  it('ends with an answer or an error whatever is changed', async () => {
    const changes = fc.array(fc.tuple(fc.nat(data.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(changes, fc.option(fc.nat(data.length)), async (flips, length) => {
        const hostile = Buffer.from(data.subarray(0, length ?? data.length));
        for (const [at, value] of flips) if (at < hostile.length) hostile[at] = value;
        const outcome = await unpack(hostile).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).not.toBeInstanceOf(TypeError);
        else expect((outcome as Buffer).equals(minimal.image)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });
});

describe('extract-iso', () => {
  const folder = mkdtempSync(join(tmpdir(), 'k4all-miniso-'));
  const at = (name: string) => join(folder, name);
  const extract = (given: Given) => runCommand(extractIso, { iso: ['full.iso'], ...given }, folder);
  beforeAll(() => writeFileSync(at('full.iso'), full.image));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('makes PXE files and the minimal ISO', async () => {
    const { outputs } = await extract({
      parts: ['pxe,minimal-iso'],
      'output-dir': ['out'],
      'rootfs-url': ['https://example.com/rootfs.img'],
    });
    const paths = (outputs.files as { path: string }[]).map(({ path }) => path);
    expect(paths).toEqual(
      ['initrd.img', 'rootfs.img', 'vmlinuz']
        .map((name) => join('out', `full-${name}`))
        .concat(join('out', 'full-minimal.iso')),
    );
    expect(readFileSync(at('out/full-rootfs.img'), 'utf8')).toBe('root file system\n');
    const { openLiveIso } = await import('../../src/iso/index.ts');
    const iso = await openLiveIso(bytesReader('m.iso', readFileSync(at('out/full-minimal.iso'))));
    const defaults = DEFAULT_ARGUMENTS.replace(` coreos.liveiso=${VOLUME_ID}`, '');
    expect(iso.kernelArguments?.defaultText).toBe(defaults);
    expect(iso.kernelArguments?.text).toBe(`${defaults} coreos.live.rootfs_url=https://example.com/rootfs.img`);
  });

  it('overwrites nothing without force, and leaves nothing half done', async () => {
    writeFileSync(at('full-minimal.iso'), 'mine');
    await expect(extract({ parts: ['minimal-iso'] })).rejects.toThrow('exists already');
    expect(readFileSync(at('full-minimal.iso'), 'utf8')).toBe('mine');
    expect(readdirSync(folder).filter((name) => name.endsWith('.partial'))).toEqual([]);
  });
});
