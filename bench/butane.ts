/** Compiling the configs of three roles of a k4all-sized tree, beside native Butane. */
import { resolve } from 'node:path';
import { writeK4allTree } from '../test/support/k4all-tree.ts';
import type { Bench } from './harness.ts';

const cli = resolve(import.meta.dirname, '../dist/cli.js');

/** Seven compilations, as a build of three roles does; each result has a name of its own. */
const STEPS: readonly (readonly [butane: string, output: string])[] = [
  ['k8s-base.bu', 'k8s-base.ign'],
  ['k8s-bootstrap.bu', 'k8s.ign'],
  ['install.bu', 'install.ign'],
  ['k8s-control.bu', 'control.ign'],
  ['install.bu', 'install-control.ign'],
  ['k8s-worker.bu', 'worker.ign'],
  ['install.bu', 'install-worker.ign'],
];

export async function bench(): Promise<Bench[]> {
  const targets = STEPS.flatMap(([butane, output]) => ['--butane', `${butane}=${output}`]);
  return [
    {
      title: 'Seven Ignition configs of a k4all-sized tree',
      reach: '≤ 0.8 s with start-up, and beside reading the base in a build; it replaces the start of a container',
      contenders: [
        {
          name: 'generate-ignition',
          prepare: writeK4allTree,
          steps: () => [[process.execPath, cli, 'generate-ignition', '--pretty', ...targets]],
        },
        {
          name: 'native butane, seven times',
          needs: ['butane'],
          prepare: writeK4allTree,
          steps: () => STEPS.map(([file, output]) => ['butane', '--pretty', '--strict', '-d', '.', '-o', output, file]),
        },
      ],
    },
  ];
}
