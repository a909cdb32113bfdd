import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command as classifyVersion } from '../../src/commands/classify-version.ts';
import { command as createRelease } from '../../src/commands/create-release.ts';
import { parseInputs } from '../../src/commands/inputs.ts';
import { terminalHost } from '../../src/host/terminal.ts';
import { UsageError } from '../../src/io/errors.ts';
import { GitHubServer } from '../support/github-server.ts';
import { assetsOf, Files } from '../support/release.ts';

let server: GitHubServer;
let files: Files;
let log: string;

beforeEach(async () => {
  server = await GitHubServer.start();
  files = await Files.create({ 'a.iso': 'one', 'b (1).iso': 'two', 'c.txt': 'three' });
  log = '';
});

afterEach(async () => {
  expect(log).not.toContain(server.token);
  await server[Symbol.asyncDispose]();
  await files[Symbol.asyncDispose]();
});

function host(env: Record<string, string> = {}) {
  const write = (text: string | Uint8Array) => {
    log += text;
    return true;
  };
  return terminalHost({
    env: {
      GITHUB_API_URL: server.apiUrl,
      GITHUB_TOKEN: server.token,
      GITHUB_REPOSITORY: 'k4all/demo',
      K4ALL_DEBUG: '1',
      ...env,
    },
    cwd: files.folder,
    signal: new AbortController().signal,
    stderr: { write, isTTY: false, columns: 80 } as never,
  });
}

const run = (given: Record<string, string[]>, env: Record<string, string> = {}) =>
  Promise.resolve().then(() => createRelease.run(parseInputs(createRelease.inputs, given), host(env)));

describe('create-release', () => {
  it('takes tag, target, repository and token from the variables, and files from globs and names', async () => {
    const outputs = await run(
      { files: ['*.iso,c.txt'] },
      { GITHUB_REF: 'refs/tags/v1.0.0', GITHUB_SHA: '0123456789abcdef' },
    );
    expect(Object.keys(assetsOf(server, 'v1.0.0')).sort()).toEqual(['SHA256SUMS', 'a.iso', 'b.1.iso', 'c.txt']);
    expect(server.releases[0]?.target).toBe('0123456789abcdef');
    expect(outputs).toMatchObject({ 'release-id': server.releases[0]?.id, tag: 'v1.0.0' });
    const assets = outputs.assets as { name: string; path: string }[];
    expect(assets.find(({ name }) => name === 'b.1.iso')?.path).toBe('b (1).iso');
  });

  it('takes a name that is a glob by its characters as a name', async () => {
    await run({ tag: ['v1.0.0'], files: ['b (1).iso', '*', '!*.txt'] });
    expect(Object.keys(assetsOf(server, 'v1.0.0')).sort()).toEqual(['SHA256SUMS', 'a.iso', 'b.1.iso']);
  });

  it.each([
    [{ files: ['a.iso'] }, {}, /"tag" is not set/],
    [{ tag: ['v1'], files: ['a.iso'] }, { GITHUB_TOKEN: '' }, /"token" is not set/],
    [{ tag: ['v1'], files: ['a.iso'] }, { GITHUB_REPOSITORY: '' }, /"repository" is not set/],
    [{ tag: ['v1'], files: ['a.iso'] }, { GITHUB_REPOSITORY: 'x' }, /"repository" is "x"/],
    [{ phase: ['upload'], 'release-id': ['1'] }, {}, /"files" is empty/],
    [{ phase: ['publish'] }, {}, /"release-id" is not set/],
    [{ tag: ['v1'], files: ['a.iso'], prerelease: ['true'], 'make-latest': ['true'] }, {}, /can't be the latest/],
    [{ tag: ['v1'], oversize: ['cut'] }, {}, /"oversize" is "cut"/],
  ])('%j is wrong usage', async (given, env, message) => {
    const error = await run(given as Record<string, string[]>, env as Record<string, string>).catch((caught) => caught);
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toMatch(message);
    expect(server.requests).toEqual([]);
  });

  it('names every pattern that matches nothing, before anything is created', async () => {
    await expect(run({ tag: ['v1'], files: ['*.iso,*.vdi,nothing,.'] })).rejects.toThrow(
      /"files" matches no file: "\*\.vdi", "nothing", "\." is a folder/,
    );
    expect(server.requests).toEqual([]);
  });
});

describe('classify-version', () => {
  const classify = (given: Record<string, string[]>, env: Record<string, string> = {}) =>
    classifyVersion.run(parseInputs(classifyVersion.inputs, given), host(env));

  it('reads the ref from the input or the event', async () => {
    expect(await classify({ ref: ['refs/tags/v1.0.0-rc.1'] }, { GITHUB_REF: 'refs/heads/main' })).toMatchObject({
      version: 'v1.0.0-rc.1',
      'container-tags': ['v1.0.0-rc.1'],
    });
    expect(await classify({}, { GITHUB_REF: 'refs/tags/1.0.0-beta' })).toMatchObject({ channel: 'beta', draft: false });
  });

  it('tells wrong usage from a wrong event', async () => {
    await expect(classify({ ref: ['v1.0.0'] })).rejects.toBeInstanceOf(UsageError);
    await expect(classify({})).rejects.toBeInstanceOf(UsageError);
    const error = await classify({}, { GITHUB_REF: 'refs/tags/foo' }).catch((caught) => caught);
    expect(error).not.toBeInstanceOf(UsageError);
    expect(error.message).toMatch(/is not a version/);
  });
});
