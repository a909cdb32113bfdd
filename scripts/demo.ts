/** `npm start`: builds the example cluster from the built-in demo base with the shipped bundle. */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeDemoBase } from './demo-base.ts';

const root = resolve(import.meta.dirname, '..');
await mkdir(join(root, 'demo'), { recursive: true });
await writeDemoBase(join(root, 'demo/demo-base.iso'));
console.error('The demo base has the layout of the Fedora CoreOS live ISO, but no kernel: these images do not boot.\n');
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'dist/cli.js'),
    'build-iso',
    '--workspace=examples/cluster',
    '--base-iso=demo/demo-base.iso',
    '--output-dir=demo/out',
    '--version=1.0.0',
    '--force',
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: 'inherit' },
);
process.exitCode = status ?? 1;
