import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readFolderTree } from '../../src/container/folder-tree.ts';
import { IgnoreFile } from '../../src/container/ignore-file.ts';
import { temporaryFolder, writeTree } from '../support/repository.ts';

describe('an ignore file', () => {
  it.each([
    ['secret', 'secret', true],
    ['secret', 'a/secret', false],
    ['secret', 'secret/below', true],
    ['/secret/', 'secret', true],
    ['**/secret', 'a/b/secret', true],
    ['**/secret', 'secret', true],
    ['*.md', 'README.md', true],
    ['*.md', 'docs/README.md', false],
    ['*/*.md', 'docs/README.md', true],
    ['docs/**', 'docs/a/b', true],
    ['docs/**', 'docs', false],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['file?', 'file1', true],
    ['file?', 'file', false],
    ['[a-c].txt', 'b.txt', true],
    ['[^a-c].txt', 'b.txt', false],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['./a/../b', 'b', true],
    ['# comment\na', 'a', true],
    ['*\n!keep', 'keep', false],
    ['*\n!keep', 'other', true],
    ['!keep\n*', 'keep', true],
    ['docs\n!docs/README.md', 'docs/README.md', false],
    ['a+b(c)', 'a+b(c)', true],
  ])('%j leaves out %j: %j', (text, path, expected) => {
    expect(new IgnoreFile(text, '.dockerignore').ignores(path)).toBe(expected);
  });

  it('says where a pattern is wrong', () => {
    expect(() => new IgnoreFile('a\n[z-a]\n', '.dockerignore')).toThrow(/^\.dockerignore:2: /);
  });

  it('takes any text or refuses it', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', '*', '?', '[', ']', '\\', '/', '!', '^', '-', '\n', 'ü') }),
        fc.string(),
        (text, path) => {
          try {
            new IgnoreFile(text, 'i').ignores(path);
          } catch (error) {
            expect(String(error)).toMatch(/is not a pattern/);
          }
        },
      ),
    );
  });
});

describe('the tree of a folder outside of git', () => {
  it('leaves out what the ignore file names, and .git everywhere', async () => {
    await using folder = await temporaryFolder();
    await writeTree(folder.path, {
      '.dockerignore': 'never',
      '.containerignore': 'node_modules\n!node_modules/keep\n',
      '.git/config': 'token',
      'vendor/.git/config': 'token',
      'vendor/a*': 'a',
      'node_modules/x': 'x',
      'node_modules/keep': 'k',
      never: 'n',
    });
    await mkdir(join(folder.path, 'empty'));
    const tree = await readFolderTree(folder.path, 0);
    expect(tree.entries.map(({ path, kind }) => `${path} ${kind}`)).toEqual([
      '.containerignore file',
      '.dockerignore file',
      'empty directory',
      'never file',
      'node_modules directory',
      'node_modules/keep file',
      'vendor directory',
      'vendor/a executable',
    ]);
  });
});
