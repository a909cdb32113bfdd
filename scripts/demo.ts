/** `npm start`: builds the example cluster from the built-in demo base with the shipped bundle. */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeDemoBase } from './demo-base.ts';

const root = resolve(import.meta.dirname, '..');
const demo = join(root, 'demo');
const base = join(demo, 'demo-base.iso');
await mkdir(demo, { recursive: true });
await writeDemoBase(base);
console.error('The demo base has the layout of the Fedora CoreOS live ISO, but no kernel: these images do not boot.\n');
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'dist/cli.js'),
    'build-iso',
    `--workspace=${join(root, 'examples/cluster')}`,
    `--base-iso=${base}`,
    `--output-dir=${join(demo, 'out')}`,
    '--version=1.0.0',
    '--force',
    ...process.argv.slice(2),
  ],
  { stdio: 'inherit' },
);
process.exitCode = status ?? 1;
