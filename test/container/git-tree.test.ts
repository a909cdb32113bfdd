import { execFileSync } from 'node:child_process';
import { symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { placeInCheckout } from '../../src/container/git.ts';
import { ObjectStream, parseListing, readGitTree } from '../../src/container/git-tree.ts';
import type { SourceTree } from '../../src/container/tree.ts';
import { git, repository, temporaryFolder } from '../support/repository.ts';

async function contents(tree: SourceTree): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { entry, body } of tree.contents(tree.entries)) {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    found[entry.path] = Buffer.concat(chunks).toString();
  }
  return found;
}

describe('the tree of a checkout', () => {
  it('has the tracked files of the commit, with their kinds, in byte order', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, {
      'b/c': 'c',
      'b.txt': 'text',
      'run*': '#!/bin/sh\n',
      'ä ö': 'umlaut',
      'b/empty': '',
    });
    await symlink('b/c', join(folder.path, 'link'));
    git(folder.path, 'add', 'link');
    git(folder.path, 'commit', '-q', '-m', 'link');
    const tree = await readGitTree(folder.path, '');
    expect(tree.entries.map(({ path, kind }) => `${path} ${kind}`)).toEqual([
      'b directory',
      'b.txt file',
      'b/c file',
      'b/empty file',
      'link link',
      'run executable',
      'ä ö file',
    ]);
    expect(await contents(tree)).toEqual({
      'b.txt': 'text',
      'b/c': 'c',
      'b/empty': '',
      link: 'b/c',
      run: '#!/bin/sh\n',
      'ä ö': 'umlaut',
    });
    expect(tree.time).toBe(Date.parse('2024-02-29T13:00:00+02:00') / 1000);
    expect(tree.revision).toBe(git(folder.path, 'rev-parse', 'HEAD').trim());
    expect(tree.remarks).toEqual([]);
  });

  it('can be left half-read, however many objects were asked for', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, { a: 'x'.repeat(100_000) });
    const object = git(folder.path, 'rev-parse', 'HEAD:a').trim();
    const lines = Array.from({ length: 20_000 }, (_, i) => `100644 ${object}\tf${i}\n`);
    execFileSync('git', ['update-index', '--index-info'], { cwd: folder.path, input: lines.join('') });
    git(folder.path, 'commit', '-q', '-m', 'many');
    const tree = await readGitTree(folder.path, '');
    expect(tree.entries).toHaveLength(20_001);
    for await (const { size } of tree.contents(tree.entries)) {
      expect(size).toBe(100_000);
      break;
    }
    // An error of the pipe that nobody handles would come now.
    await new Promise((later) => setTimeout(later, 50));
  });

  it('is that of its folder where the environment names another repository, as inside of hooks', async () => {
    await using folder = await temporaryFolder();
    await repository(join(folder.path, 'ours'), { ours: '' });
    await repository(join(folder.path, 'other'), { other: '' });
    vi.stubEnv('GIT_DIR', join(folder.path, 'other/.git'));
    vi.stubEnv('GIT_WORK_TREE', join(folder.path, 'other'));
    const { entries } = await readGitTree(join(folder.path, 'ours'), '').finally(() => vi.unstubAllEnvs());
    expect(entries.map(({ path }) => path)).toEqual(['ours']);
  });

  it('leaves out what is not committed, and says so', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, { a: 'committed', gone: 'kept' });
    await writeFile(join(folder.path, 'a'), 'changed');
    await writeFile(join(folder.path, 'staged'), 'staged');
    await writeFile(join(folder.path, 'untracked'), 'secret');
    git(folder.path, 'add', 'staged');
    git(folder.path, 'rm', '-q', '--cached', 'gone');
    const tree = await readGitTree(folder.path, '');
    expect(await contents(tree)).toEqual({ a: 'committed', gone: 'kept' });
    expect(tree.remarks).toEqual([{ severity: 'warning', message: expect.stringMatching(/"a".*"gone".*"staged"/) }]);
    expect(tree.remarks[0]?.message).not.toContain('untracked');
  });

  it('applies no line-end conversion, filters or export-ignore', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, { a: 'one\ntwo\n', hidden: 'not hidden', pointer: 'version https://git-lfs' });
    const attributes = '* text eol=crlf ident\nhidden export-ignore\npointer filter=lfs\n';
    await writeFile(join(folder.path, '.gitattributes'), attributes);
    git(folder.path, 'add', '.gitattributes');
    git(folder.path, 'commit', '-q', '-m', 'attributes');
    expect(await contents(await readGitTree(folder.path, ''))).toEqual({
      '.gitattributes': attributes,
      a: 'one\ntwo\n',
      hidden: 'not hidden',
      pointer: 'version https://git-lfs',
    });
  });

  it('takes the tracked files below a folder', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, { 'images/a': 'a', 'images/deep/b': 'b', other: 'o' });
    const below = join(folder.path, 'images');
    expect(await placeInCheckout(below)).toBe('images/');
    const tree = await readGitTree(below, 'images/');
    expect(Object.keys(await contents(tree))).toEqual(['a', 'deep/b']);
  });

  it('makes a submodule an empty folder, with a notice', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, { a: 'a' });
    const commit = git(folder.path, 'rev-parse', 'HEAD').trim();
    git(folder.path, 'update-index', '--add', '--cacheinfo', `160000,${commit},vendor/lib`);
    git(folder.path, 'commit', '-q', '-m', 'submodule');
    const tree = await readGitTree(folder.path, '');
    expect(tree.entries).toContainEqual(expect.objectContaining({ path: 'vendor/lib', kind: 'directory' }));
    expect(tree.remarks).toContainEqual({ severity: 'notice', message: expect.stringContaining('vendor/lib') });
  });

  it('refuses an untracked folder and a checkout without a commit', async () => {
    await using folder = await temporaryFolder();
    await repository(folder.path, { a: 'a' });
    await expect(readGitTree(folder.path, 'nothing/')).rejects.toThrow(/no tracked file below "nothing\/"/);
    await using fresh = await temporaryFolder();
    git(fresh.path, 'init', '-q');
    await expect(readGitTree(fresh.path, '')).rejects.toThrow(/no commit yet/);
  });

  it('knows a folder outside of git, and never takes a damaged checkout for one', async () => {
    await using folder = await temporaryFolder();
    expect(await placeInCheckout(folder.path)).toBeUndefined();
    await writeFile(join(folder.path, '.git'), 'gitdir: /nowhere');
    await expect(placeInCheckout(folder.path)).rejects.toThrow(/is in a git checkout, but git rev-parse failed/);
  });
});

describe('the output of git', () => {
  it('is understood for paths with tabs and newlines', () => {
    const id = 'a'.repeat(40);
    const listing = Buffer.from(`100644 blob ${id}\ta\tb\nc\x00120000 blob ${id}\tlink\x00`);
    expect(parseListing(listing).map(({ path }) => path)).toEqual(['a\tb\nc', 'link']);
  });

  it('is an error where a path is not UTF-8 or a record is not one', () => {
    const id = 'a'.repeat(40);
    const latin = Buffer.concat([Buffer.from(`100644 blob ${id}\tgr`), Buffer.from([0xfc]), Buffer.from('n\x00')]);
    expect(() => parseListing(latin)).toThrow(/is not UTF-8/);
    expect(() => parseListing(Buffer.from('what is this'))).toThrow(/not understood/);
  });

  it.each([1, 3, 1000])('is read in pieces of %i bytes', async (size) => {
    const id = 'b'.repeat(40);
    const bytes = Buffer.from(`${id} blob 5\nhe\nlo\n${id} blob 0\n\n${id} missing\n`);
    const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    const objects = new ObjectStream(Readable.from(pieces, { objectMode: true }));
    const entry = { object: id, path: 'p' };
    expect(await objects.header(entry)).toBe(5);
    const chunks: Buffer[] = [];
    for await (const chunk of objects.body(5)) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe('he\nlo');
    await objects.finish();
    expect(await objects.header(entry)).toBe(0);
    await objects.finish();
    await expect(objects.header(entry)).rejects.toThrow(/no content for "p"/);
  });
});
