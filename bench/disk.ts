import { join, resolve } from 'node:path';
import { formatSize } from '../src/io/sizes.ts';
import { baseIso } from './bases.ts';
import type { Argv, Bench } from './harness.ts';

const cli = resolve(import.meta.dirname, '../dist/cli.js');
const DISK_SIZE = '60G';

/** The benches for an ISO of `size` bytes. */
export async function bench({ size }: { readonly size: number }): Promise<Bench[]> {
  const iso = await baseIso(size);
  return [
    {
      title: `ISO of ${formatSize(size)} to QCOW2 and VDI with 60 GiB, with their SHA-256`,
      reach: '≤ 0.5 of qemu-img and openssl, ≤ 1 of qemu-img alone; the floor is one hash of both on all cores',
      contenders: [
        { name: 'k4all', steps: (folder) => [ours(iso, folder)] },
        {
          name: 'qemu-img, openssl',
          needs: ['qemu-img', 'openssl'],
          steps: (folder) => [...native(iso), digest(folder)],
        },
        { name: 'qemu-img', needs: ['qemu-img'], steps: () => native(iso) },
        { name: 'floor: cp', steps: () => [copy(iso, 'disk.qcow2'), copy(iso, 'disk.vdi')] },
        {
          name: 'floor: openssl, both at once',
          needs: ['openssl'],
          steps: () => [['sh', '-c', 'openssl dgst -sha256 "$0" & openssl dgst -sha256 "$0"; wait', iso]],
        },
      ],
    },
  ];
}

function ours(iso: string, folder: string): Argv {
  return [process.execPath, cli, 'convert-image', '--image', iso, '--disk-size', DISK_SIZE, '--output-dir', folder];
}

function native(iso: string): Argv[] {
  return [
    ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', iso, 'disk.qcow2'],
    ['qemu-img', 'resize', 'disk.qcow2', DISK_SIZE],
    ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'vdi', 'disk.qcow2', 'disk.vdi'],
  ];
}

function digest(folder: string): Argv {
  return ['openssl', 'dgst', '-sha256', join(folder, 'disk.qcow2'), join(folder, 'disk.vdi')];
}

function copy(iso: string, name: string): Argv {
  return ['cp', iso, name];
}
