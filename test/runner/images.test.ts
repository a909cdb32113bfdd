import { appendFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256File } from '../../src/io/hash.ts';
import { runCli } from '../support/bundle.ts';
import { describeWithPeers } from '../support/peers.ts';
import { git } from '../support/repository.ts';
import { addDocumentedWorkflow, push, startWorld, type World } from './world.ts';

const ROLES = ['bootstrap', 'control', 'worker'];
const SLOW = 300_000;

/** A job behind the documented one that shows what it gives back. */
const SHOW_OUTPUTS = `
  show:
    needs: images
    runs-on: ubuntu-latest
    permissions: {}
    steps:
      - run: 'echo "release-url=$URL"'
        env:
          URL: \${{ needs.images.outputs.release-url }}
`;

describeWithPeers('build-images, as the docs call it', ['act', 'git', 'jq'], () => {
  let folder = '';
  let world: World;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-runner-'));
    world = await startWorld(folder);
  });
  afterEach(async () => {
    await world[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const images = (version: string) =>
    ROLES.flatMap((role) => [
      `k4all-${role}-${version}-aarch64.iso`,
      ...['iso', 'qcow2', 'vdi'].map((format) => `k4all-${role}-${version}-x86_64.${format}`),
    ]).sort();
  const assetsOf = (id: number) => {
    const release = world.github.releases.find((one) => one.id === id);
    return [...(release?.assets ?? [])].map((asset) => asset.name).sort();
  };

  it('release on a tag: every role on two architectures in one release', { timeout: SLOW }, async () => {
    const workflow = await addDocumentedWorkflow(world, 'release');
    git(world.checkout, 'tag', 'v1.2.3');
    const run = await world.run({ workflow, event: 'push', payload: push('refs/tags/v1.2.3') });
    expect(run.code, run.log).toBe(0);
    expect(world.github.releases).toHaveLength(1);
    const [release] = world.github.releases;
    expect(release).toMatchObject({ tag: 'v1.2.3', draft: false, prerelease: false, makeLatest: 'true' });
    expect(assetsOf(release?.id ?? 0)).toEqual(['SHA256SUMS', 'build-info.json', ...images('v1.2.3')]);
    expect(world.github.violations).toEqual([]);
    // Every job leaves its summary, and the log of no job shows the token.
    expect(run.log).toContain('Summary - ### Release [v1.2.3]');
    expect(run.log).not.toContain(world.github.token);
    for (const architecture of ['x86_64', 'aarch64']) {
      // All jobs but the first have it from the cache.
      const path = `/fedora-coreos-44.1.0-live-iso.${architecture}.iso`;
      expect(world.fedora.requestsFor(path).map(({ method }) => method)).toEqual(['GET']);
    }
    // What all jobs together have left is what one build of everything leaves.
    const args = ['--workspace', world.checkout, '--version', 'v1.2.3', '--architectures', 'x86_64,aarch64'];
    const single = await runCli(['build-iso', ...args, '--output-dir', join(folder, 'single')]);
    expect(single.code, single.stderr).toBe(0);
    for (const { name, digest } of release?.assets ?? []) {
      if (name === 'SHA256SUMS') continue;
      expect([name, digest]).toEqual([name, `sha256:${await sha256File(join(folder, 'single', name))}`]);
    }
  });

  it('release on a tag, run again: the same release, unchanged', { timeout: 2 * SLOW }, async () => {
    const workflow = await addDocumentedWorkflow(world, 'release');
    git(world.checkout, 'tag', 'v2.0.0-beta.1');
    const options = { workflow, event: 'push', payload: push('refs/tags/v2.0.0-beta.1') } as const;
    expect((await world.run(options)).code).toBe(0);
    const again = await world.run(options);
    expect(again.code, again.log).toBe(0);
    expect(world.github.releases).toHaveLength(1);
    expect(world.github.releases[0]).toMatchObject({ tag: 'v2.0.0-beta.1', draft: false, prerelease: true });
  });

  it('a mistake in the sources: told with its place, and no release', { timeout: SLOW }, async () => {
    await appendFile(join(world.checkout, 'k8s-base.bu'), 'nonsense: true\n');
    const workflow = await addDocumentedWorkflow(world, 'release');
    git(world.checkout, 'tag', 'v1.2.3');
    const run = await world.run({ workflow, event: 'push', payload: push('refs/tags/v1.2.3') });
    expect(run.code).not.toBe(0);
    expect(run.log).toMatch(/file=k8s-base\.bu,line=\d+/);
    expect(world.github.releases).toEqual([]);
  });

  describe('by hand', () => {
    /** Runs the workflow with these answers, on the branch; a job behind it shows the outputs. */
    const dispatch = async (answers: Record<string, string>) => {
      const workflow = await addDocumentedWorkflow(world, 'build', SHOW_OUTPUTS);
      const inputs = { stream: 'stable', 'disk-size': '2G', 'boot-test': 'false', release: 'false', ...answers };
      return world.run({ workflow, event: 'workflow_dispatch', payload: { ...push('refs/heads/main'), inputs } });
    };
    const VERSION = /^0\.0\.0-draft\.main\.g[0-9a-f]+$/;

    it('the images of the chosen roles and formats as artifacts', { timeout: SLOW }, async () => {
      const run = await dispatch({ roles: 'control,worker', formats: 'iso' });
      expect(run.code, run.log).toBe(0);
      expect([...run.artifacts.keys()].sort()).toEqual(['images-control-x86_64', 'images-worker-x86_64']);
      expect([...(run.artifacts.get('images-worker-x86_64')?.keys() ?? [])].sort()).toEqual([
        'SHA256SUMS',
        'build-info.json',
        expect.stringMatching(/^k4all-worker-0\.0\.0-draft\.main\.g[0-9a-f]+-x86_64\.iso$/),
      ]);
      expect(run.log).toMatch(/release-url=$/m);
      expect(world.github.releases).toEqual([]);
    });

    it('a release of a branch: a draft that is whole, and where it is', { timeout: SLOW }, async () => {
      const run = await dispatch({ roles: 'control,worker', formats: 'iso,vdi', release: 'true' });
      expect(run.code, run.log).toBe(0);
      const [draft, ...others] = world.github.releases;
      expect(others).toEqual([]);
      expect(draft).toMatchObject({ tag: expect.stringMatching(VERSION), draft: true });
      const images = ['control', 'worker'].flatMap((role) => {
        return ['iso', 'vdi'].map((format) => `k4all-${role}-${draft?.tag}-x86_64.${format}`);
      });
      expect(assetsOf(draft?.id ?? 0)).toEqual(['build-info.json', ...images]);
      expect(run.log).toContain('5 assets are verified; the draft is not published');
      expect(run.log).toMatch(/release-url=https:\/\/github\.example\/k4all\/demo\/releases\/tag\/untagged-\w+$/m);
    });

    it('a draft that lacks an image: an error that names it', { timeout: SLOW }, async () => {
      // Somebody deletes an asset between the last upload and the publishing.
      let uploads = 0;
      world.github.fault = ({ route }) => {
        if (route.startsWith('POST') && route.endsWith('/assets')) uploads++;
        const [draft] = world.github.releases;
        if (uploads === 2 && draft?.assets.length === 2) draft.assets.shift();
        return undefined;
      };
      const run = await dispatch({ roles: 'worker', formats: 'iso', release: 'true' });
      expect(run.code).not.toBe(0);
      expect(run.log).toMatch(/::error::.*is not published:.*missing: k4all-worker-0\.0\.0-draft\S+-x86_64\.iso/);
      expect(world.github.releases).toMatchObject([{ draft: true }]);
    });
  });
});
