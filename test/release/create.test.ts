import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checksumsText } from '../../src/release/checksums.ts';
import { type Fault, GitHubServer, type Step } from '../support/github-server.ts';
import { assetsOf, Files, type Log, release, sha256 } from '../support/release.ts';

const TAG = 'v1.2.3';
const CONTENTS = { 'a.iso': 'the first image', 'b.qcow2': 'the second image', 'build info.txt': 'three' };
/** `SHA256SUMS` of CONTENTS, with the names that GitHub shows. */
const SUMS = checksumsText(
  Object.entries(CONTENTS).map(([name, text]) => ({ name: name.replace(' ', '.'), sha256: sha256(text) })),
);
const WHOLE = {
  'a.iso': `uploaded sha256:${sha256(CONTENTS['a.iso'])}`,
  'b.qcow2': `uploaded sha256:${sha256(CONTENTS['b.qcow2'])}`,
  'build.info.txt': `uploaded sha256:${sha256('three')}`,
  SHA256SUMS: `uploaded sha256:${sha256(SUMS)}`,
};
const UPLOAD = 'POST /repos/{owner}/{repo}/releases/{release_id}/assets';
const CREATE = 'POST /repos/{owner}/{repo}/releases';
const PUBLISH = 'PATCH /repos/{owner}/{repo}/releases/{release_id}';
const LIST_ASSETS = 'GET /repos/{owner}/{repo}/releases/{release_id}/assets';

let server: GitHubServer;
let files: Files;
let log: Log;

beforeEach(async () => {
  server = await GitHubServer.start();
  files = await Files.create(CONTENTS);
  log = { lines: [] };
});

afterEach(async () => {
  expect(server.violations).toEqual([]);
  expect(log.lines.join('\n')).not.toContain(server.token);
  await server[Symbol.asyncDispose]();
  await files[Symbol.asyncDispose]();
});

const all = (more = {}) => release(server, { tag: TAG, files: files.paths, ...more }, { log });

describe('a release in one job', () => {
  it('is published last, with every asset and the list of digests', async () => {
    const result = await all({ target: 'main', body: 'Hello' });
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    expect(result).toMatchObject({
      tag: TAG,
      published: true,
      url: `https://github.example/k4all/demo/releases/tag/${TAG}`,
    });
    expect(result.assets.map(({ name }) => name).sort()).toEqual(Object.keys(WHOLE).sort());
    const routes = server.requests.map(({ route }) => route);
    expect(routes.lastIndexOf(UPLOAD)).toBeLessThan(routes.indexOf(PUBLISH));
    expect(server.store.tags).toEqual(new Set([TAG]));
    expect(server.releases[0]).toMatchObject({ makeLatest: 'true', prerelease: false, name: TAG });
  });

  it('sends the token to the API and to the origin for uploads only', async () => {
    await all();
    const hosts = new Set(server.requests.map(({ host }) => host));
    expect(hosts).toEqual(new Set([new URL(server.apiUrl).host, new URL(server.uploadsUrl).host]));
    expect(server.requests.every(({ authorization }) => authorization?.includes(server.token))).toBe(true);
  });

  it('is the same when it runs again, also where releases are immutable', async () => {
    server.store.immutable = true;
    const first = await all();
    const before = server.requests.length;
    expect(await all()).toMatchObject({ releaseId: first.releaseId, published: true });
    const changing = server.requests.slice(before).filter(({ route }) => !route.startsWith('GET'));
    expect(changing).toEqual([]);
    expect(log.lines.join('\n')).toContain('published already, with the same assets');
  });

  it('fails with the list of differences where the published release is another', async () => {
    await all();
    await files.add('a.iso', 'the first IMAGE');
    await files.add('new.vdi', 'new');
    const fewer = files.paths.filter((path) => !path.endsWith('b.qcow2'));
    const error = await all({ files: fewer }).catch((caught: Error) => caught.message);
    expect(error).toContain('a.iso: sha256:');
    expect(error).toContain('missing: new.vdi');
    expect(error).toContain('not among the files: b.qcow2');
    expect(error).not.toContain('SHA256SUMS');
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
  });

  it('stays a draft where that is asked for, and is published by a later publish', async () => {
    const draft = await all({ draft: true, body: 'Mine' });
    expect(draft.published).toBe(false);
    expect(server.releases).toMatchObject([{ draft: true }]);
    expect(server.releases[0]?.assets.map(({ name }) => name)).not.toContain('SHA256SUMS');
    await release(server, { phase: 'publish', releaseId: draft.releaseId }, { log });
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    const body = server.releases[0]?.body ?? '';
    expect(body.match(/## Files/g)).toHaveLength(1);
    expect(body.startsWith('Mine')).toBe(true);
  });

  it("leaves the user's own SHA256SUMS out", async () => {
    await files.add('SHA256SUMS', 'something else\n');
    await all();
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    expect(log.lines.join('\n')).toMatch(/SHA256SUMS is left out/);
  });

  it('takes a prerelease part of the tag for a prerelease, which is never the latest', async () => {
    await all({ tag: 'v2.0.0-rc.1' });
    expect(server.releases[0]).toMatchObject({ prerelease: true, makeLatest: 'false' });
    await expect(all({ tag: 'v3.0.0', prerelease: true, makeLatest: true })).rejects.toThrow(/can't be the latest/);
  });

  it('is not the latest where a higher version is out', async () => {
    await all({ tag: 'v2.0.0' });
    await all({ tag: 'v1.9.9' });
    await all({ tag: 'v2.1.0' });
    await all({ tag: 'nightly' });
    expect(server.releases.map(({ makeLatest }) => makeLatest)).toEqual(['true', 'false', 'true', 'legacy']);
  });
});

describe('an unfinished draft', () => {
  it('is gone on with: whole assets stay, broken and different ones are replaced', async () => {
    const draft = server.store.create({ tag_name: TAG, draft: true });
    server.store.beginAsset(draft, 'a.iso', '');
    const other = server.store.beginAsset(draft, 'b.qcow2', '');
    server.store.finishAsset(draft, other, 3, sha256('old'));
    const kept = server.store.beginAsset(draft, 'build info.txt', '');
    server.store.finishAsset(draft, kept, 5, sha256('three'));
    await all();
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    expect(server.releases).toHaveLength(1);
    expect(draft.assets).toContain(kept);
    expect(log.lines).toContain('a.iso: an unfinished upload is removed');
    expect(log.lines).toContain('b.qcow2 has other bytes in the draft and is replaced');
  });

  it('is found on a later page', async () => {
    server.pageSize = 2;
    const draft = server.store.create({ tag_name: TAG, draft: true });
    for (let i = 0; i < 5; i++) server.store.create({ tag_name: `v0.${i}.0`, draft: true });
    expect((await all()).releaseId).toBe(draft.id);
  });

  it('is an error where it is one of several, and nothing is guessed', async () => {
    const ids = [1, 2].map(() => server.store.create({ tag_name: TAG, draft: true }).id);
    await expect(all()).rejects.toThrow(new RegExp(`2 releases share.*${ids[0]}.*${ids[1]}`, 's'));
    await all({ releaseId: ids[1] }).then(
      () => expect.unreachable('a second draft was left'),
      (error: Error) => expect(error.message).toMatch(/2 releases share/),
    );
    expect(server.releases.every(({ draft }) => draft)).toBe(true);
  });

  it('is not published with an asset that nobody asked for', async () => {
    const draft = server.store.create({ tag_name: TAG, draft: true });
    server.store.finishAsset(draft, server.store.beginAsset(draft, 'stray.txt', ''), 5, sha256('stray'));
    await expect(all()).rejects.toThrow(/not expected: stray.txt/);
    expect(draft.draft).toBe(true);
  });
});

describe('a release in phases', () => {
  const names = Object.keys(WHOLE).filter((name) => name !== 'SHA256SUMS');

  it('is prepared once, uploaded by parallel jobs, and published when everything is there', async () => {
    const { releaseId } = await release(server, { phase: 'prepare', tag: TAG, body: 'Notes' }, { log });
    await Promise.all(
      files.paths.map((path) => release(server, { phase: 'upload', releaseId, files: [path] }, { log })),
    );
    const result = await release(
      server,
      { phase: 'publish', releaseId, expectedAssets: [...names, 'SHA256SUMS'] },
      { log },
    );
    expect(result.published).toBe(true);
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    // Every phase may run again.
    expect((await release(server, { phase: 'prepare', tag: TAG }, { log })).releaseId).toBe(releaseId);
    await release(server, { phase: 'upload', releaseId, files: files.paths.slice(0, 1) }, { log });
    await release(server, { phase: 'publish', releaseId, expectedAssets: names }, { log });
    await expect(release(server, { phase: 'publish', releaseId, expectedAssets: ['x'] }, { log })).rejects.toThrow(
      /missing: x/,
    );
  });

  it('is not published while something is missing or unfinished', async () => {
    const { releaseId } = await release(server, { phase: 'prepare', tag: TAG }, { log });
    await release(server, { phase: 'upload', releaseId, files: files.paths.slice(0, 2) }, { log });
    const publish = (expectedAssets: string[]) =>
      release(server, { phase: 'publish', releaseId, expectedAssets }, { log });
    await expect(publish(names)).rejects.toThrow(/missing: build.info.txt/);
    server.store.beginAsset(server.store.find(releaseId), 'build.info.txt', '');
    await expect(publish(names)).rejects.toThrow(/missing: build.info.txt/);
    await expect(publish([])).rejects.toThrow(/unfinished: build.info.txt/);
    expect(server.releases[0]?.draft).toBe(true);
  });

  it('refuses an id that belongs to another tag, and phases without an id', async () => {
    const { releaseId } = await release(server, { phase: 'prepare', tag: TAG }, { log });
    await expect(release(server, { phase: 'publish', releaseId, tag: 'v9.9.9' }, { log })).rejects.toThrow(
      /is the release of "v1.2.3"/,
    );
    await expect(release(server, { phase: 'publish' }, { log })).rejects.toThrow(/"release-id" is not set/);
  });

  it('keeps one draft of those that jobs make at the same time', async () => {
    const prepared = await Promise.all([1, 2, 3].map(() => release(server, { phase: 'prepare', tag: TAG }, { log })));
    expect(new Set(prepared.map(({ releaseId }) => releaseId)).size).toBe(1);
    expect(server.releases).toHaveLength(1);
  });
});

describe('faults', () => {
  const once = (route: string, fault: Fault, at = 0) => {
    server.fault = (step: Step) => (step.route === route && step.count === at ? fault : undefined);
  };
  const steps: readonly (readonly [string, Fault])[] = [
    ...(['cut', 'lost', '502 after', '502 before', 'damage', '403 secondary', '403 primary', '429'] as const).map(
      (fault) => [UPLOAD, fault] as const,
    ),
    ...[CREATE, PUBLISH, LIST_ASSETS].flatMap((route) =>
      (['cut', 'lost', '502 after', '502 before', '403 secondary', '403 primary', '429'] as const).map(
        (fault) => [route, fault] as const,
      ),
    ),
  ];

  it.each(steps)('%s: %s is overcome', async (route, fault) => {
    server.store.immutable = true;
    once(route, fault);
    await all();
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    expect(server.releases).toHaveLength(1);
  });

  it.each([1, 2])('lists that are %i requests late change nothing', async (lag) => {
    server.lag = lag;
    once(UPLOAD, '502 after', 1);
    await all();
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
    expect(server.releases).toHaveLength(1);
  });

  it.each([CREATE, UPLOAD, PUBLISH])('%s: a missing permission is named', async (route) => {
    server.fault = (step) => (step.route === route ? '403 permission' : undefined);
    await expect(all()).rejects.toThrow(/contents=write.*permissions:\n\s+contents: write/s);
    expect(server.releases.every(({ draft }) => draft)).toBe(true);
    server.fault = () => undefined;
    await all();
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
  });

  it('gives up after some tries, without a published release, and goes on when it is run again', async () => {
    server.fault = ({ route }) => (route === UPLOAD ? 'cut' : undefined);
    await expect(all()).rejects.toThrow();
    expect(server.releases).toMatchObject([{ draft: true }]);
    server.fault = () => undefined;
    await all();
    expect(assetsOf(server, TAG)).toEqual(WHOLE);
  });

  it('tells a wrong token and a wrong repository', async () => {
    await expect(release(server, { tag: TAG, files: files.paths }, { log, token: 'ghs_other' })).rejects.toThrow(
      /"token" is not valid/,
    );
  });
});
