import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { labIso } from '../boot/boot.ts';
import { LAB_TOOLS } from '../boot/parts.ts';
import { describeWithPeers } from '../support/peers.ts';
import type { ActRun } from './act.ts';
import { addDocumentedWorkflow, push, startWorld, type World } from './world.ts';

const SLOW = 300_000;

describeWithPeers('build-images, with images that boot', [...LAB_TOOLS, 'act', 'git', 'jq'], () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-runner-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Runs the manual workflow on one role and format, with a live ISO that boots. */
  async function bootTested(world: World): Promise<ActRun> {
    const workflow = await addDocumentedWorkflow(world, 'build');
    const inputs = {
      roles: 'bootstrap',
      formats: 'iso',
      stream: 'stable',
      'disk-size': '1G',
      'boot-test': 'true',
      release: 'true',
    };
    const payload = { ...push('refs/heads/main'), inputs: inputs };
    return world.run({ workflow, event: 'workflow_dispatch', payload });
  }

  const bootArtifact = ({ artifacts }: ActRun) => {
    const [name = '', ...others] = [...artifacts.keys()].filter((name) => name.startsWith('boot-test-'));
    expect(others).toEqual([]);
    expect(name).toMatch(/^boot-test-k4all-bootstrap-0\.0\.0-draft\.main\.g[0-9a-f]+-x86_64\.iso-cdrom-bios$/);
    const files = [...(artifacts.get(name) ?? [])];
    const [screen, serial] = ['.png', '.serial.log'].map(
      (ending) => files.find(([file]) => file.endsWith(ending))?.[1],
    );
    return { screen, serial: serial?.toString() ?? '' };
  };

  it('what comes up is uploaded, with log and screen attached', { timeout: SLOW }, async (context) => {
    const base = (await labIso()) ?? context.skip('the parts of the boot laboratory can not be had');
    await using world = await startWorld(folder, { base });
    const run = await bootTested(world);
    expect(run.code, run.log).toBe(0);
    expect(run.log).toMatch(/^### Boot test$[\s\S]*✅ passed/m);
    const { screen, serial } = bootArtifact(run);
    expect(serial).toContain('Ignition finished successfully');
    expect(screen?.subarray(1, 4).toString()).toBe('PNG');
    expect(world.github.releases[0]?.assets).toHaveLength(2);
  });

  it('what does not come up is told and attached, and not released', { timeout: SLOW }, async (context) => {
    const base = (await labIso()) ?? context.skip('the parts of the boot laboratory can not be had');
    const live = { 'kernel-arguments': { append: ['rdinit=/missing'] } };
    await using world = await startWorld(folder, { base, live });
    const run = await bootTested(world);
    expect(run.code).not.toBe(0);
    expect(run.log).toMatch(/::error::build-iso: .*bootstrap\S+\.iso did not boot: kernel panic/);
    expect(run.log).toMatch(/^### Boot test$[\s\S]*❌ failed/m);
    expect(bootArtifact(run).serial).toContain('Kernel panic - not syncing');
    expect(world.github.releases).toMatchObject([{ draft: true, assets: [] }]);
  });
});
