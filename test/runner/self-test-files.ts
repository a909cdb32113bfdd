/**
 * What the self-test of the actions starts from: a stream with one small base image, and a disk that boots.
 *
 *     node test/runner/self-test-files.ts FOLDER
 */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { DEMO_RELEASE, writeDemoBase } from '../../scripts/demo-base.ts';
import { sha256File } from '../../src/io/hash.ts';
import { bootSector } from '../support/qemu.ts';

/** Writes `base.iso`, `stream.json` that leads to it, and `disk.img`. */
export async function writeSelfTestFiles(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const base = resolve(folder, 'base.iso');
  await writeDemoBase(base);
  await stat(base);
  const disk = { location: pathToFileURL(base).href, sha256: await sha256File(base) };
  const artifacts = { metal: { release: DEMO_RELEASE, formats: { iso: { disk } } } };
  const stream = {
    stream: 'stable',
    metadata: { 'last-modified': '2026-11-01T00:00:00Z' },
    architectures: { x86_64: { artifacts } },
  };
  await writeFile(join(folder, 'stream.json'), JSON.stringify(stream));
  await writeFile(join(folder, 'disk.img'), bootSector('localhost login: '));
}

if (import.meta.main) await writeSelfTestFiles(process.argv[2] ?? '.');
