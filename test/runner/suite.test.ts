import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { GitHubServer } from '../support/github-server.ts';
import { describeWithPeers } from '../support/peers.ts';
import { git } from '../support/repository.ts';
import { type ActOptions, runAct } from './act.ts';
import { copySuite, stubTools } from './suite.ts';
import { push } from './world.ts';

const SLOW = 300_000;
const TAG = `v${manifest.version}`;
const [MAJOR = ''] = TAG.split('.');

describeWithPeers("the suite's own workflows", ['act', 'git', 'jq', 'npm', 'qemu-system-x86_64'], () => {
  let folder = '';
  let checkout = '';
  let github: GitHubServer;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-suite-'));
    checkout = await copySuite(folder);
    github = await GitHubServer.start();
    execFileSync('git', ['clone', '--quiet', '--bare', checkout, remote()], { stdio: 'pipe' });
  });
  afterEach(async () => {
    await github[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const remote = () => join(folder, 'remote.git');
  const head = () => git(checkout, 'rev-parse', 'HEAD').trim();
  const tags = () => git(remote(), 'for-each-ref', '--format=%(refname:short) %(objectname)', 'refs/tags').trim();
  const calls = () => readFile(join(folder, 'bin/calls'), 'utf8');
  async function run(workflow: string, ref: string, more: Partial<ActOptions> = {}) {
    return runAct({
      ...{ cwd: checkout, scratch: join(folder, 'act'), workflow: `.github/workflows/${workflow}.yml`, event: 'push' },
      payload: push(ref),
      path: await stubTools(folder, remote()),
      secrets: { GITHUB_TOKEN: github.token },
      ...more,
      env: { GITHUB_API_URL: github.apiUrl, ...more.env },
    });
  }
  const release = (tag = TAG) => {
    git(checkout, 'tag', tag);
    git(checkout, 'push', '--quiet', remote(), tag);
    return run('release', `refs/tags/${tag}`);
  };

  it('ci: every action as a step on what the one before has made, and a gate', { timeout: SLOW }, async () => {
    const ci = await run('ci', 'refs/heads/main');
    expect(ci.code, ci.log).toBe(0);
    expect((await calls()).trim().split('\n').sort()).toEqual([
      ...['npm ci', 'npm ci', 'npm ci', 'npm ci', 'npm run check', 'npm test', 'npm test', 'npm test'],
      expect.stringMatching(/^sudo --preserve-env env PATH=\S+ \.ci\/run$/),
    ]);
    const attached = ci.artifacts.get('boot-test-disk.img-disk-bios');
    expect(attached?.get('disk.serial.log')?.toString()).toContain('localhost login: ');
    expect(attached?.get('disk.png')?.subarray(1, 4).toString()).toBe('PNG');
    // Post steps run, and ours have none: all is done and said when a step ends.
    const posts = [...ci.log.matchAll(/Run Post (\S+)/g)].map(([, action]) => action);
    expect(new Set(posts)).toEqual(new Set([expect.stringMatching(/^actions\/setup-node@/)]));
    expect(github.releases).toEqual([]);
  });

  it('ci: the gate is shut when one job fails', { timeout: SLOW }, async () => {
    const ci = await run('ci', 'refs/heads/main', { env: { FAILING_NPM: 'run check' } });
    expect(ci.code).not.toBe(0);
    expect(ci.log).toMatch(/ci\/all.*Job failed/);
  });

  it('release: a tag becomes an immutable release, and the major tag moves to it', { timeout: SLOW }, async () => {
    git(remote(), 'tag', MAJOR, git(remote(), 'commit-tree', '-m', 'older', 'HEAD^{tree}').trim());
    const first = await release();
    expect(first.code, first.log).toBe(0);
    expect(github.releases).toMatchObject([{ tag: TAG, draft: false, prerelease: false, makeLatest: 'true' }]);
    const names = github.releases[0]?.assets.map(({ name }) => name).sort();
    expect(names).toEqual(['SHA256SUMS', expect.stringMatching(/build-iso-\d+\.\d+\.\d+\.tgz$/)]);
    expect(tags()).toBe(`${MAJOR} ${head()}\n${TAG} ${head()}`);
    expect((await calls()).split('\n').slice(0, 2)).toEqual(['npm ci', 'npm run check']);
    expect(github.violations).toEqual([]);
    expect(first.log).not.toContain(github.token);
  });

  it('release: the first of a major version makes the tag; an older one never moves it back', {
    timeout: SLOW,
  }, async () => {
    const first = await release();
    expect(first.code, first.log).toBe(0);
    expect(tags()).toBe(`${MAJOR} ${head()}\n${TAG} ${head()}`);

    const newer = git(remote(), 'commit-tree', '-m', 'newer', 'HEAD^{tree}').trim();
    for (const tag of [`${MAJOR}.999.0`, MAJOR]) git(remote(), 'tag', '--force', tag, newer);
    const again = await run('release', `refs/tags/${TAG}`);
    expect(again.code, again.log).toBe(0);
    expect(again.log).toContain(`${MAJOR} stays: ${MAJOR}.999.0 is newer than ${TAG}`);
    expect(tags()).toContain(`${MAJOR} ${newer}`);
    expect(github.releases).toHaveLength(1);
  });

  it('release: a tag of another version than the package stops before anything is made', {
    timeout: SLOW,
  }, async () => {
    const wrong = await release('v99.0.0-beta.1');
    expect(wrong.code).not.toBe(0);
    expect(github.releases).toEqual([]);
    expect(tags()).toBe(`v99.0.0-beta.1 ${head()}`);
  });
});
