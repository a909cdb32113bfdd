import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { sha256File } from '../../src/io/hash.ts';
import { labIso } from '../boot/boot.ts';
import { LAB_TOOLS } from '../boot/parts.ts';
import { runCli } from '../support/bundle.ts';
import { type Ghcr, startGhcr } from '../support/ghcr.ts';
import { describeWithPeers } from '../support/peers.ts';
import { digestOf } from '../support/registry.ts';
import { git } from '../support/repository.ts';
import { type ActOptions, type ActRun, runAct } from './act.ts';
import { addDocumentedWorkflow, startWorld, type World } from './world.ts';

const SUITE = resolve(import.meta.dirname, '../..');
const WORKFLOWS = join(SUITE, '.github/workflows');
const ROLES = ['bootstrap', 'control', 'worker'];
const SLOW = 300_000;
const push = (ref: string) => ({ ref, repository: { full_name: 'k4all/demo' } });

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

interface Job {
  readonly permissions?: object;
  readonly steps?: readonly { readonly uses?: string }[];
  readonly 'timeout-minutes'?: number;
}

describe.each(readdirSync(WORKFLOWS))('%s', (file) => {
  const text = readFileSync(join(WORKFLOWS, file), 'utf8');
  const workflow = parse(text) as { permissions: object; concurrency: { group: string }; jobs: Record<string, Job> };

  it('grants nothing at the top, and to each job what it names', () => {
    expect(workflow.permissions).toEqual({});
    for (const job of Object.values(workflow.jobs)) expect(job.permissions).toBeDefined();
  });

  it('has a concurrency group per ref, and a timeout for every job', () => {
    expect(workflow.concurrency.group).toContain('github.ref');
    for (const job of Object.values(workflow.jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });

  it('pins foreign actions by commit, with the version beside', () => {
    const uses = [...text.matchAll(/uses: (\S+)(.*)$/gm)].filter(([, action = '']) => !/^(\.\/|k4all\/)/.test(action));
    for (const [, action, comment] of uses) {
      expect(action).toMatch(/^actions\/[\w-]+@[0-9a-f]{40}$/);
      expect(comment).toMatch(/^ # v\d+\.\d+\.\d+$/);
    }
  });

  it('keeps the token out of the checkout', () => {
    const checkouts = text.match(/actions\/checkout@/g) ?? [];
    expect(text.match(/persist-credentials: false/g) ?? []).toHaveLength(checkouts.length);
  });
});

it('lets only the jobs write that release or push', () => {
  const writers = readdirSync(WORKFLOWS).flatMap((file) => {
    const { jobs } = parse(readFileSync(join(WORKFLOWS, file), 'utf8')) as { jobs: Record<string, Job> };
    const writing = Object.entries(jobs).filter(([, { permissions = {} }]) =>
      Object.values(permissions).includes('write'),
    );
    return writing.map(([name, { permissions }]) => [`${file} ${name}`, permissions]);
  });
  expect(Object.fromEntries(writers)).toEqual({
    'build-images.yml draft': { contents: 'write' },
    'build-images.yml upload': { contents: 'write' },
    'build-images.yml publish': { contents: 'write' },
    'release.yml release': { contents: 'write' },
    'release.yml major': { contents: 'write' },
    'source-container.yml container': { contents: 'read', packages: 'write' },
  });
});

it('has no action that does something at the start or the end of a job', () => {
  const actions = readdirSync(join(SUITE, 'actions')).map((name) => join(SUITE, 'actions', name, 'action.yml'));
  for (const file of [join(SUITE, 'action.yml'), ...actions]) {
    const { runs } = parse(readFileSync(file, 'utf8')) as { runs: object };
    expect(Object.keys(runs).sort(), file).toEqual(['main', 'using']);
  }
});

it('calls the suite by its name where other repositories call the workflow', () => {
  for (const file of ['build-images.yml', 'source-container.yml']) {
    const text = readFileSync(join(WORKFLOWS, file), 'utf8');
    expect(text).not.toContain('uses: ./');
    expect(text).toMatch(/uses: k4all\/build-iso\S*@v1$/m);
  }
});

describeWithPeers('workflows, by actionlint', ['actionlint'], () => {
  it('are sound', () => {
    const files = readdirSync(WORKFLOWS).map((file) => join(WORKFLOWS, file));
    expect(() => execFileSync('actionlint', files, { encoding: 'utf8' })).not.toThrow();
  });

  it('are sound in the docs too', () => {
    const page = readFileSync(join(SUITE, 'docs/workflows.md'), 'utf8');
    const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
    expect(blocks).toHaveLength(3);
    for (const input of blocks) {
      expect(() => execFileSync('actionlint', ['-'], { input, encoding: 'utf8' })).not.toThrow();
      expect(parse(input)).toMatchObject({ permissions: {} });
    }
  });
});

describeWithPeers('workflows, on a runner', ['act', 'git', 'jq', 'openssl', 'tar'], () => {
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

  const act = (options: Omit<ActOptions, 'cwd' | 'scratch' | 'secrets' | 'env'>, more: World['env'] = {}) => {
    const [secrets, env] = [{ GITHUB_TOKEN: world.github.token }, { ...world.env, ...more }];
    return runAct({ ...options, cwd: world.checkout, env, secrets, scratch: join(folder, 'act') });
  };
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
    const run = await act({ workflow, event: 'push', payload: push('refs/tags/v1.2.3') });
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
    expect((await act(options)).code).toBe(0);
    const again = await act(options);
    expect(again.code, again.log).toBe(0);
    expect(world.github.releases).toHaveLength(1);
    expect(world.github.releases[0]).toMatchObject({ tag: 'v2.0.0-beta.1', draft: false, prerelease: true });
  });

  it('a mistake in the sources: told with its place, and no release', { timeout: SLOW }, async () => {
    await appendFile(join(world.checkout, 'k8s-base.bu'), 'nonsense: true\n');
    const workflow = await addDocumentedWorkflow(world, 'release');
    git(world.checkout, 'tag', 'v1.2.3');
    const run = await act({ workflow, event: 'push', payload: push('refs/tags/v1.2.3') });
    expect(run.code).not.toBe(0);
    expect(run.log).toMatch(/file=k8s-base\.bu,line=\d+/);
    expect(world.github.releases).toEqual([]);
  });

  describe('by hand', () => {
    /** Runs the workflow with these answers, on the branch; a job behind it shows the outputs. */
    const dispatch = async (answers: Record<string, string>) => {
      const workflow = await addDocumentedWorkflow(world, 'build', SHOW_OUTPUTS);
      const inputs = { stream: 'stable', 'disk-size': '2G', 'boot-test': 'false', release: 'false', ...answers };
      return act({ workflow, event: 'workflow_dispatch', payload: { ...push('refs/heads/main'), inputs } });
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

  describe('source container', () => {
    /** What act calls the user who starts a run. */
    const ACTOR = 'nektos/act';
    const release = async (ghcr: Ghcr) => {
      const workflow = await addDocumentedWorkflow(world, 'container');
      git(world.checkout, 'tag', 'v1.2.3');
      await writeFile(join(world.checkout, 'kubeconfig'), 'a secret that nobody tracks');
      return act({ workflow, event: 'push', payload: push('refs/tags/v1.2.3') }, ghcr.env);
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
});

describeWithPeers('workflows, with images that boot', [...LAB_TOOLS, 'act', 'git', 'jq'], () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-runner-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** Runs the manual workflow on one role and format, with a live ISO that boots. */
  async function bootTested(world: World, release: boolean) {
    const workflow = await addDocumentedWorkflow(world, 'build');
    const inputs = { roles: 'bootstrap', formats: 'iso', stream: 'stable', 'disk-size': '1G', 'boot-test': 'true' };
    return runAct({
      ...{ workflow, event: 'workflow_dispatch', cwd: world.checkout, env: world.env, scratch: join(folder, 'act') },
      payload: { ...push('refs/heads/main'), inputs: { ...inputs, release: String(release) } },
      secrets: { GITHUB_TOKEN: world.github.token },
    });
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

  it('boot-test: what comes up is uploaded, with log and screen attached', { timeout: SLOW }, async (context) => {
    const base = (await labIso()) ?? context.skip('the parts of the boot laboratory can not be had');
    await using world = await startWorld(folder, { base });
    const run = await bootTested(world, true);
    expect(run.code, run.log).toBe(0);
    expect(run.log).toMatch(/^### Boot test$[\s\S]*✅ passed/m);
    const { screen, serial } = bootArtifact(run);
    expect(serial).toContain('Ignition finished successfully');
    expect(screen?.subarray(1, 4).toString()).toBe('PNG');
    expect(world.github.releases[0]?.assets).toHaveLength(2);
  });

  it('boot-test: what does not come up is told and attached, and not released', { timeout: SLOW }, async (context) => {
    const base = (await labIso()) ?? context.skip('the parts of the boot laboratory can not be had');
    const live = { 'kernel-arguments': { append: ['rdinit=/missing'] } };
    await using world = await startWorld(folder, { base, live });
    const run = await bootTested(world, true);
    expect(run.code).not.toBe(0);
    expect(run.log).toMatch(/::error::build-iso: .*bootstrap\S+\.iso did not boot: kernel panic/);
    expect(run.log).toMatch(/^### Boot test$[\s\S]*❌ failed/m);
    expect(bootArtifact(run).serial).toContain('Kernel panic - not syncing');
    expect(world.github.releases).toMatchObject([{ draft: true, assets: [] }]);
  });
});
