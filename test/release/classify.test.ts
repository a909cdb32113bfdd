import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import semver from 'semver';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Classification, classify, prereleaseOf } from '../../src/release/index.ts';

/** A repository whose highest stable version is 2.1.0, with an older line beside it and odd tags. */
let folder: string;
let repository: string;
let shallow: string;
let empty: string;
let commit: string;

function git(cwd: string, ...args: string[]): string {
  const identity = ['-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'commit.gpgsign=false'];
  return execFileSync('git', [...identity, ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim();
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-classify-'));
  [repository, shallow, empty] = [join(folder, 'repository'), join(folder, 'shallow'), join(folder, 'empty')];
  execFileSync('mkdir', [repository, empty]);
  git(repository, 'init', '-q', '-b', 'main');
  const step = (message: string, ...tags: string[]) => {
    git(repository, 'commit', '-q', '--allow-empty', '-m', message);
    for (const tag of tags) git(repository, 'tag', tag);
  };
  step('one', 'v1.0.0', 'v1.0.1', 'nightly', 'v1.2', 'v9.0.0-dev', 'v0.9.0');
  git(repository, 'branch', 'old');
  step('two', 'v2.0.0', '2.1.0');
  // Beside the branch: counts for latest, not for drafts.
  git(repository, 'checkout', '-q', '-b', 'side');
  step('three', 'v2.0.1', 'v3.0.0-rc.1');
  git(repository, 'checkout', '-q', 'main');
  step('four');
  commit = git(repository, 'rev-parse', '--short', 'HEAD');
  await writeFile(join(folder, 'marker'), '');
  git(folder, 'clone', '-q', '--depth', '1', `file://${repository}`, shallow);
});

afterAll(() => rm(folder, { recursive: true }));

/** Version, channel and whether it is the latest, for every ref that is a release or a prerelease. */
const TAGS: readonly (readonly [tag: string, channel: string, latest?: boolean])[] = [
  ['v1.2.3', 'stable'],
  ['1.2.3', 'stable'],
  ['v0.0.0', 'stable'],
  ['v0.0.1', 'stable'],
  ['v2.0.0', 'stable'],
  ['v2.0.99', 'stable'],
  ['v2.1.0', 'stable', true],
  ['2.1.0', 'stable', true],
  ['v2.1.1', 'stable', true],
  ['v3.0.0', 'stable', true],
  ['10.20.30', 'stable', true],
  ['v9007199254740991.0.0', 'stable', true],
  ['v2.1.0+build.5', 'stable', true],
  ['v1.0.0+001', 'stable'],
  ['v1.0.0+a.b-c', 'stable'],
  ['v1.2.3-alpha', 'alpha'],
  ['v1.2.3-alpha.1', 'alpha'],
  ['v1.2.3-alpha1', 'alpha'],
  ['v1.2.3-alpha.beta', 'alpha'],
  ['v1.2.3-beta', 'beta'],
  ['v1.2.3-beta.0', 'beta'],
  ['v1.2.3-beta11', 'beta'],
  ['1.2.3-beta.1', 'beta'],
  ['v1.2.3-rc', 'rc'],
  ['v1.2.3-rc.1', 'rc'],
  ['v1.2.3-rc1', 'rc'],
  ['v1.2.3-rc.1+exp.sha.5114f85', 'rc'],
  ['v99.0.0-rc.1', 'rc'],
  ['1.0.0-rc.1.2.3', 'rc'],
  ['v1.2.3-rc001', 'rc'],
];

/** The draft's slug for every ref that is one. */
const DRAFTS: readonly (readonly [ref: string, slug: string])[] = [
  ['refs/heads/main', 'main'],
  ['refs/heads/feature/Foo_Bar', 'feature-foo-bar'],
  ['refs/heads/v1.2.3', 'v1-2-3'],
  ['refs/heads/1.2.3', '1-2-3'],
  ['refs/heads/007', 'b007'],
  ['refs/heads/0', '0'],
  ['refs/heads/42', '42'],
  ['refs/heads/-x-', 'x'],
  ['refs/heads/日本語', 'branch'],
  ['refs/heads/fix/ünïcode', 'fix-n-code'],
  ['refs/heads/a..b', 'a-b'],
  ['refs/heads/tags/v1.0.0', 'tags-v1-0-0'],
  ['refs/heads/refs/tags/v1.0.0', 'refs-tags-v1-0-0'],
  [`refs/heads/${'long-'.repeat(20)}`, 'long-'.repeat(8).slice(0, 39)],
  [`refs/heads/0${'1'.repeat(60)}`, `b0${'1'.repeat(38)}`],
  ['refs/heads/gh-readonly-queue/main/pr-7-0123', 'gh-readonly-queue-main-pr-7-0123'],
  ['refs/pull/12/merge', 'pull-12-merge'],
  ['refs/pull/12/head', 'pull-12-head'],
];

const REFUSED: readonly (readonly [ref: string, reason: RegExp])[] = [
  ...[
    'v1.2',
    'v1',
    'v1.2.3.4',
    'V1.2.3',
    'vv1.2.3',
    'v.1.2.3',
    'v1.2.3-',
    'v01.2.3',
    'v1.02.3',
    'v1.2.3-01',
    'v1.2.3+',
  ].map(
    (tag) =>
      [`refs/tags/${tag}`, /is not a version: accepted are v1\.2\.3 .* v1\.2\.3-alpha, v1\.2\.3-alpha\.1/] as const,
  ),
  ...[
    'v1.2.3-alphabet',
    'v1.2.3-dev',
    'v1.2.3-0',
    'v1.2.3-Beta.1',
    'v1.2.3-beta-1',
    'v1.2.3-rc.01',
    'v1.2.3-pre.rc',
  ].map((tag) => [`refs/tags/${tag}`, /is not a version/] as const),
  ...[
    'latest',
    'nightly',
    'main',
    'release/v1.2.3',
    ' v1.2.3',
    'v1.2.3 ',
    'v1.2.3\n',
    'v99999999999999999999.0.0',
    '日本',
  ].map((tag) => [`refs/tags/${tag}`, /is not a version/] as const),
  ...[
    'v1.2.3',
    'main',
    'tags/v1.2.3',
    'heads/main',
    'refs/tags/',
    'refs/heads/',
    'refs/notes/x',
    'refs/remotes/origin/main',
    'HEAD',
    '',
  ].map((ref) => [ref, /is not the full name of a tag or branch/] as const),
  [`refs/tags/v1.0.0-rc.${'1'.repeat(130)}`, /is not a version|at most 128/],
  [`refs/tags/v1.0.0-rc.${'a'.repeat(130)}`, /at most 128/],
];

describe('classify', () => {
  const tags = TAGS.map(([tag, channel, latest = false]) => ({ tag, channel, latest }));

  it.each(tags)('the tag $tag is of the channel $channel', async ({ tag, channel, latest }) => {
    const prerelease = channel !== 'stable';
    const containerTag = tag.replace('+', '_');
    expect(await classify(`refs/tags/${tag}`, { cwd: repository })).toEqual({
      version: tag,
      semver: tag.replace(/^v/, ''),
      prerelease,
      draft: false,
      makeLatest: latest,
      channel,
      containerTags: latest ? [containerTag, 'latest'] : [containerTag],
      releaseName: tag,
    } satisfies Classification);
  });

  it.each(DRAFTS)('%s is a draft of %s', async (ref, slug) => {
    const version = `2.1.0-draft.${slug}.g${commit}`;
    expect(semver.valid(version)).toBe(version);
    expect(await classify(ref, { cwd: repository })).toEqual({
      version,
      semver: version,
      prerelease: false,
      draft: true,
      makeLatest: false,
      channel: 'draft',
      containerTags: [version],
      releaseName: version,
    } satisfies Classification);
  });

  it.each(REFUSED)('%j is refused', async (ref, reason) => {
    await expect(classify(ref, { cwd: repository })).rejects.toThrow(reason);
  });

  it('takes other labels, of which the longest that fits counts', async () => {
    const labels = ['dev', 'dev2', 'pre-view'];
    const channel = async (tag: string) => (await classify(`refs/tags/${tag}`, { cwd: repository, labels })).channel;
    expect(await channel('v1.0.0-dev.1')).toBe('dev');
    expect(await channel('v1.0.0-dev21')).toBe('dev2');
    expect(await channel('v1.0.0-pre-view3')).toBe('pre-view');
    await expect(channel('v1.0.0-beta')).rejects.toThrow(/v1\.2\.3-dev\.1/);
    for (const label of ['7', 'a_b', '', 'stable', 'draft']) {
      await expect(classify('refs/tags/v1.0.0', { cwd: repository, labels: [label] })).rejects.toThrow(
        /"prerelease-labels"/,
      );
    }
  });

  it('says so where tags are missing, and answers false', async () => {
    for (const [cwd, reason] of [
      [shallow, /shallow clone/],
      [empty, /no git checkout/],
    ] as const) {
      const warnings: string[] = [];
      const result = await classify('refs/tags/v99.0.0', { cwd, warn: (message) => warnings.push(message) });
      expect(result).toMatchObject({ version: 'v99.0.0', makeLatest: false, containerTags: ['v99.0.0'] });
      expect(warnings).toEqual([expect.stringMatching(reason)]);
    }
  });

  it('looks at the tags of its folder where the environment names another repository, as inside of hooks', async () => {
    vi.stubEnv('GIT_DIR', join(shallow, '.git'));
    const classified = classify('refs/tags/v2.0.0', { cwd: repository, warn: (message) => expect.fail(message) });
    expect(await classified.finally(() => vi.unstubAllEnvs())).toMatchObject({ makeLatest: false });
  });

  it('needs no git for a prerelease, and takes the commit of the event for a draft', async () => {
    expect(await classify('refs/tags/v1.0.0-rc.1', { cwd: join(folder, 'not there') })).toMatchObject({
      channel: 'rc',
    });
    const sha = '0123456789abcdef0123456789abcdef01234567';
    const draft = await classify('refs/heads/main', { cwd: empty, commit: sha });
    expect(draft.version).toBe('0.0.0-draft.main.g0123456');
    await expect(classify('refs/heads/main', { cwd: empty })).rejects.toThrow(/GITHUB_SHA/);
  });
});

describe('prereleaseOf', () => {
  it.each([
    ['v1.0.0-beta.1', true],
    ['1.0.0-rc1', true],
    ['v1.0.0', false],
    ['v1.0.0-dev', false],
    ['dev', false],
    ['beta', false],
  ])('%s: %s', (version, expected) => expect(prereleaseOf(version)).toBe(expected));
});
