/** Embedding a live config and two kernel arguments, beside coreos-installer. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { formatSize, MiB } from '../src/io/sizes.ts';
import { baseIso } from './bases.ts';
import { type Argv, type Bench, benchFolder } from './harness.ts';

const cli = resolve(import.meta.dirname, '../dist/cli.js');
const CONFIG = JSON.stringify({
  ignition: { version: '3.4.0' },
  storage: {
    files: Array.from({ length: 40 }, (_, index) => ({
      path: `/usr/local/bin/step-${index}`,
      mode: 493,
      contents: { source: `data:,${encodeURIComponent(`#!/bin/bash\necho step ${index}\n`.repeat(20))}` },
    })),
  },
});
const ARGUMENTS = ['coreos.liveiso.fromram', 'console=ttyS0,115200n8'];

/** The benches for a base with a root file system of `size` bytes. */
export async function bench({ size }: { readonly size: number }): Promise<Bench[]> {
  const folder = join(benchFolder(), 'k4all-bench-bases');
  await mkdir(folder, { recursive: true });
  const base = await baseIso(size);
  const small = await baseIso(MiB);
  const config = join(folder, 'live.ign');
  await writeFile(config, CONFIG);
  const writer = await bundleWriter(folder);
  return [
    newFile(base, config, size),
    withoutDigest(base, config, size, writer),
    inPlace(base, small, config, size, writer),
  ];
}

/** What writes without a digest, as a bundle, so that loading it costs what it costs a command. */
async function bundleWriter(folder: string): Promise<string> {
  const bundle = await rolldown({
    input: {
      writer: join(import.meta.dirname, 'embed-writer.ts'),
      thread: join(import.meta.dirname, '../src/thread.ts'),
    },
    platform: 'node',
  });
  await bundle.write({ dir: folder, format: 'esm', minify: true, entryFileNames: '[name].js' });
  await copyFile(resolve(import.meta.dirname, '../dist/codecs.wasm.br'), join(folder, 'codecs.wasm.br'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  return join(folder, 'writer.js');
}

function ours(iso: string, config: string, output: readonly string[] = []): Argv {
  const changes = ARGUMENTS.flatMap((argument) => ['--live-karg-append', argument]);
  return [process.execPath, cli, 'embed-ignition', '--iso', iso, '--live-ignition', config, ...changes, ...output];
}

function native(iso: string, config: string, output: readonly string[] = []): Argv[] {
  return [
    ['coreos-installer', 'iso', 'ignition', 'embed', '-i', config, ...output, iso],
    ['coreos-installer', 'iso', 'kargs', 'modify', ...ARGUMENTS.flatMap((text) => ['-a', text]), output[1] ?? iso],
  ];
}

function newFile(base: string, config: string, size: number): Bench {
  return {
    title: `embed into a new ISO of ${formatSize(size)}, with its SHA-256`,
    reach: '≤ 0.75 of coreos-installer and openssl; the floor is one hash',
    contenders: [
      { name: 'k4all', steps: (folder) => [ours(base, config, ['--output', join(folder, 'new.iso')])] },
      {
        name: 'coreos-installer, openssl',
        needs: ['coreos-installer', 'openssl'],
        steps: (folder) => {
          const iso = join(folder, 'new.iso');
          return [...native(base, config, ['-o', iso]), ['openssl', 'dgst', '-sha256', iso]];
        },
      },
      { name: 'floor: openssl', needs: ['openssl'], steps: () => [['openssl', 'dgst', '-sha256', base]] },
    ],
  };
}

function withoutDigest(base: string, config: string, size: number, writer: string): Bench {
  return {
    title: `embed into a new ISO of ${formatSize(size)}, without a digest, by the library`,
    reach: '≤ 0.9 of coreos-installer, ≤ 1.1 of cp',
    contenders: [
      {
        name: 'k4all, without the start of Node',
        timesItself: true,
        steps: (folder) => [[process.execPath, writer, base, config, join(folder, 'new.iso')]],
      },
      {
        name: 'coreos-installer',
        needs: ['coreos-installer'],
        steps: (folder) => native(base, config, ['-o', join(folder, 'new.iso')]),
      },
      { name: 'floor: cp', steps: (folder) => [['cp', base, join(folder, 'new.iso')]] },
    ],
  };
}

function inPlace(base: string, small: string, config: string, size: number, writer: string): Bench {
  const copyOf = (iso: string) => (folder: string) => copyFile(iso, join(folder, 'edit.iso'));
  const steps = (folder: string) => [ours(join(folder, 'edit.iso'), config)];
  return {
    title: `embed in place, ISO of ${formatSize(size)}`,
    reach: '≤ 1.0 of coreos-installer, and the same for any size',
    contenders: [
      { name: 'k4all', prepare: copyOf(base), steps },
      { name: `k4all, ISO of ${formatSize(MiB)}`, prepare: copyOf(small), steps },
      {
        name: 'k4all, without the start of Node',
        timesItself: true,
        prepare: copyOf(base),
        steps: (folder) => [[process.execPath, writer, join(folder, 'edit.iso'), config]],
      },
      {
        name: 'coreos-installer',
        needs: ['coreos-installer'],
        prepare: copyOf(base),
        steps: (folder) => native(join(folder, 'edit.iso'), config),
      },
      { name: 'floor: node -e 0', steps: () => [[process.execPath, '-e', '0']] },
    ],
  };
}
