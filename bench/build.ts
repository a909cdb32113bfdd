/** The whole build, three roles in three formats, beside the native tools as k4all uses them. */
import { join } from 'node:path';
import { ROLES, writeK4allTree } from '../test/support/k4all-tree.ts';
import { baseIso } from './bases.ts';
import { type Argv, type Bench, benchFolder, dist } from './harness.ts';
import type { BenchOptions } from './run.ts';

const DISK = '60G';

export async function bench({ size }: BenchOptions): Promise<Bench[]> {
  const workspace = join(benchFolder(), 'k4all-bench-workspace');
  const base = await baseIso(size);
  await writeK4allTree(workspace);
  return [
    {
      title: 'whole build: three roles in three formats, with SHA256SUMS',
      reach: '≤ 0.5 of the native tools with openssl, ≤ 1 of their CPU time, ≤ 150 MB',
      contenders: [
        { name: 'k4all build-iso', steps: (folder) => [ours(base, workspace, folder, ROLES)] },
        native('openssl', base, (files) => ['openssl', 'dgst', '-sha256', ...files]),
        native('sha256sum', base, (files) => ['sha256sum', ...files]),
        floor(base),
      ],
    },
    {
      title: 'what another role costs, its ISO',
      reach: 'the tenth as much as the second, and no more than writing and hashing it',
      contenders: [
        ...[1, 2, 9, 10].map((count) => {
          const roles = Array.from({ length: count }, (_, i) => `role${i}`);
          return {
            name: `${count} roles`,
            prepare: () => writeK4allTree(workspace, roles),
            steps: (folder: string) => [ours(base, workspace, folder, roles, 'iso')],
          };
        }),
        {
          name: 'cp, then openssl',
          needs: ['openssl'],
          steps: (folder) => [
            ['cp', '--reflink=never', base, join(folder, 'copy')],
            ['openssl', 'dgst', '-sha256', join(folder, 'copy')],
          ],
        },
      ],
      conclusions: (median) =>
        (['wall', 'cpu'] as const).map((what) => {
          const step = (more: number) => (median(`${more} roles`)[what] - median(`${more - 1} roles`)[what]).toFixed(2);
          return `${what}: the second role ${step(2)} s, the tenth ${step(10)} s, cp and openssl ${median('cp, then openssl')[what].toFixed(2)} s`;
        }),
    },
  ];
}

function ours(base: string, workspace: string, folder: string, roles: readonly string[], formats?: string): Argv {
  const options = [`--workspace=${workspace}`, `--base-iso=${base}`, `--output-dir=${join(folder, 'out')}`];
  const more = formats === undefined ? [] : [`--formats=${formats}`];
  return [
    process.execPath,
    join(dist, 'cli.js'),
    'build-iso',
    ...options,
    ...more,
    `--roles=${roles}`,
    `--disk-size=${DISK}`,
  ];
}

/** The workflow that this project replaces, without its containers. */
function native(digest: string, base: string, digestOf: (files: string[]) => Argv) {
  return {
    name: `butane, coreos-installer, qemu-img, ${digest}`,
    needs: ['butane', 'coreos-installer', 'qemu-img', digest],
    prepare: (folder: string) => writeK4allTree(folder),
    steps: (folder: string): Argv[] => {
      const butane = (source: string, output: string): Argv => [
        'butane',
        '--pretty',
        '--strict',
        '-d',
        folder,
        '-o',
        output,
        source,
      ];
      const steps: Argv[] = [butane('k8s-base.bu', 'k8s-base.ign')];
      const files: string[] = [];
      for (const role of ROLES) {
        const [iso, qcow2, vdi] = [`${role}.iso`, `${role}.qcow2`, `${role}.vdi`];
        steps.push(
          butane(`k8s-${role}.bu`, 'k8s.ign'),
          butane('install.bu', 'install.ign'),
          ['coreos-installer', 'iso', 'ignition', 'embed', '-i', 'install.ign', '-o', iso, base],
          ['coreos-installer', 'iso', 'kargs', 'modify', '-a', 'coreos.liveiso.fromram', iso],
          ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', iso, qcow2],
          ['qemu-img', 'resize', qcow2, DISK],
          ['qemu-img', 'convert', '-f', 'qcow2', '-O', 'vdi', qcow2, vdi],
        );
        files.push(iso, qcow2, vdi);
      }
      return [...steps, digestOf(files)];
    },
  };
}

/** What cannot be saved: nine copies, and nine digests on two cores. */
function floor(base: string) {
  return {
    name: 'floor: cp of nine files, then openssl on both cores',
    needs: ['openssl', 'xargs'],
    steps: (folder: string): Argv[] => {
      const copies = Array.from({ length: 9 }, (_, i) => join(folder, String(i)));
      return [
        ...copies.map((copy): Argv => ['cp', '--reflink=never', base, copy]),
        ['sh', '-c', `printf '%s\\n' "$@" | xargs -n 1 -P 2 openssl dgst -sha256`, 'sh', ...copies],
      ];
    },
  };
}
