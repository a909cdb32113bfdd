import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type Ghcr, startGhcr } from '../support/ghcr.ts';
import { describeWithPeers } from '../support/peers.ts';
import { digestOf } from '../support/registry.ts';
import { git } from '../support/repository.ts';
import { addDocumentedWorkflow, push, startWorld, type World } from './world.ts';

const SLOW = 300_000;

describeWithPeers('source-container, as the docs call it', ['act', 'git', 'openssl', 'tar'], () => {
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

  /** What act calls the user who starts a run. */
  const ACTOR = 'nektos/act';
  const release = async (ghcr: Ghcr) => {
    const workflow = await addDocumentedWorkflow(world, 'container');
    git(world.checkout, 'tag', 'v1.2.3');
    await writeFile(join(world.checkout, 'kubeconfig'), 'a secret that nobody tracks');
    return world.run({ workflow, event: 'push', payload: push('refs/tags/v1.2.3') }, ghcr.env);
  };
  const account = () => `${ACTOR}:${world.github.token}`;

  it('ghcr.io gets the tracked files, under the tags of the version', { timeout: SLOW }, async () => {
    await using ghcr = await startGhcr(folder, { account: account(), publicPull: false });
    const run = await release(ghcr);
    expect(run.code, run.log).toBe(0);

    const { blobs, manifests } = ghcr.registry;
    const manifest = manifests.get('v1.2.3') ?? Buffer.alloc(0);
    const digest = digestOf(manifest);
    expect([...manifests.keys()].sort()).toEqual(['latest', digest, 'v1.2.3']);
    expect(manifests.get('latest')).toEqual(manifest);
    expect(run.log).toContain(`::set-output:: digest=${digest}`);
    expect(run.log).toContain(`ghcr.io/k4all/demo@${digest}`);

    const [layer] = JSON.parse(manifest.toString()).layers;
    const archive = join(folder, 'layer.tar.gz');
    await writeFile(archive, blobs.get(layer.digest) ?? '');
    const listed = execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).trim().split('\n');
    const files = listed.filter((name) => !name.endsWith('/')).map((name) => name.replace(/^src\//, ''));
    expect(files.sort()).toEqual(git(world.checkout, 'ls-files').trim().split('\n').sort());

    // Nobody else can read a package that is new: said, with the place to change it.
    expect(run.log).toMatch(/::notice::.*ghcr\.io\/k4all\/demo.*https:\/\/github\.com\/\S+\/settings/);
  });

  it('gives the token to the token server alone, and to no log', { timeout: SLOW }, async () => {
    await using ghcr = await startGhcr(folder, { account: account(), publicPull: true });
    const run = await release(ghcr);
    expect(run.code, run.log).toBe(0);
    const basic = `Basic ${Buffer.from(account()).toString('base64')}`;
    const { authorizations } = ghcr.front;
    expect(new Set(authorizations.filter((one) => one.includes('Basic')))).toEqual(new Set([`/token ${basic}`]));
    expect(authorizations.filter((one) => !one.startsWith('/token'))).not.toHaveLength(0);
    for (const one of authorizations.filter((one) => !one.startsWith('/token'))) {
      expect(one).toMatch(/ (none|Bearer token-\d+)$/);
    }
    expect(new Set(ghcr.tunnels)).toEqual(new Set(['ghcr.io:443']));
    expect(world.github.requests).toEqual([]);
    for (const secret of [world.github.token, basic, 'token-1']) expect(run.log).not.toContain(secret);
    expect(run.log).toContain('everybody can read the image');
  });

  it.each([
    ['by the token server', 403, { account: 'somebody:else' }],
    ['by the registry', 401, { uses: 0 }],
  ])('refused %s: an annotation names the permission', { timeout: SLOW }, async (_by, status, options) => {
    await using ghcr = await startGhcr(folder, { account: account(), publicPull: false, ...options });
    const run = await release(ghcr);
    expect(run.code).not.toBe(0);
    const [annotation = ''] = /::error::.*/.exec(run.log) ?? [];
    expect(annotation).toContain(`answered ${status}`);
    expect(annotation).toContain('packages: write');
    expect(ghcr.registry.manifests.size).toBe(0);
    expect(run.log).not.toContain(world.github.token);
  });
});
