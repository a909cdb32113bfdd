import { chmod, cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256, sha256File } from '../../src/io/hash.ts';
import { runCli } from '../support/bundle.ts';
import { describeWithPeers } from '../support/peers.ts';
import { bootLab, labIso } from './boot.ts';
import { expectedFiles } from './expected-files.ts';
import { DEFAULT_ARGUMENTS } from './lab.ts';
import { LAB_TOOLS } from './parts.ts';

const ROLES = ['bootstrap', 'control', 'worker'];
const CLUSTER = resolve(import.meta.dirname, '../../examples/cluster');
const SLOW = 400_000;

describeWithPeers('boot laboratory', [...LAB_TOOLS, 'debugfs'], () => {
  let base = '';
  let folder = '';
  let workspace = '';
  const path = (name: string) => join(folder, name);
  const image = (role: string, format: string) => path(`out/k4all-${role}-v1.0.0-x86_64.${format}`);
  let nextBoot = 0;
  const boot = (options: Parameters<typeof bootLab>[0] extends infer O ? Omit<O, 'outputDir'> : never) =>
    bootLab({ ...options, outputDir: path(`boot${nextBoot++}`) });

  beforeAll(async (context) => {
    const iso = await labIso();
    if (iso === undefined) return context.skip();
    base = iso;
    folder = await mkdtemp(join(tmpdir(), 'k4all-lab-test-'));
    workspace = path('cluster');
    await cp(CLUSTER, workspace, { recursive: true });
    const built = await k4all('build-iso', {
      ...{ workspace, 'base-iso': base, 'output-dir': path('out') },
      ...{ version: 'v1.0.0', 'disk-size': '1G', 'kernel-arguments': 'lab.list=a,b\nlab.word=ünïcode' },
    });
    expect(built.stderr).toContain('9 images');
  }, 1_200_000);

  afterAll(async () => {
    if (folder) await rm(folder, { recursive: true, force: true });
  });
});
