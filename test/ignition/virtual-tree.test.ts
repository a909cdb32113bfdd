import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, sep } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TreeError, VirtualTree } from '../../src/ignition/index.ts';
import { sha256 } from '../../src/io/hash.ts';

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (content: string) => new TextEncoder().encode(content);

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof TreeError) return error.code;
    throw error;
  }
  return undefined;
}

let outside: string;
let root: string;
beforeEach(async () => {
  outside = await mkdtemp(join(tmpdir(), 'tree-'));
  root = join(outside, 'files');
  await mkdir(join(root, 'scripts/lib'), { recursive: true });
  await writeFile(join(outside, 'secret'), 'outside');
  await writeFile(join(root, 'a.txt'), 'alpha');
  await writeFile(join(root, 'scripts/run.sh'), 'run');
  await writeFile(join(root, 'scripts/lib/.hidden'), 'hidden');
});
afterEach(() => rm(outside, { recursive: true }));

describe('the real folder', () => {
  it('is read, with kinds, sizes and mode bits', async () => {
    await chmod(join(root, 'a.txt'), 0o640);
    await chmod(join(root, 'scripts/run.sh'), 0o755);
    const tree = new VirtualTree(root);
    expect(tree.stat('a.txt')).toEqual({ kind: 'file', mode: 0o100640, size: 5 });
    expect(tree.stat('scripts/run.sh').mode).toBe(0o100755);
    expect(tree.stat('scripts').kind).toBe('folder');
    expect(tree.readdir('.').sort()).toEqual(['a.txt', 'scripts']);
    expect(text(tree.readFile('scripts/./lib/../run.sh'))).toBe('run');
  });

  it('gives the codes of a real file system', () => {
    const tree = new VirtualTree(root);
    expect(codeOf(() => tree.stat('missing'))).toBe('ENOENT');
    expect(codeOf(() => tree.stat('missing/x'))).toBe('ENOENT');
    expect(codeOf(() => tree.stat(''))).toBe('ENOENT');
    expect(codeOf(() => tree.stat('a.txt/x'))).toBe('ENOTDIR');
    expect(codeOf(() => tree.stat('a.txt/'))).toBe('ENOTDIR');
    expect(codeOf(() => tree.readdir('a.txt'))).toBe('ENOTDIR');
    expect(codeOf(() => tree.readFile('scripts'))).toBe('EISDIR');
    expect(codeOf(() => tree.readlink('a.txt'))).toBe('EINVAL');
    expect(codeOf(() => tree.stat('a\0b'))).toBe('EINVAL');
    expect(codeOf(() => tree.stat('x'.repeat(300)))).toBe('ENAMETOOLONG');
  });

  it('has to be a folder', () => {
    expect(() => new VirtualTree(join(root, 'missing'))).toThrow(/missing.* can't be read/);
    expect(() => new VirtualTree(join(root, 'a.txt'))).toThrow(/isn't a folder/);
  });

  it('remembers the files whose contents were read', () => {
    const tree = new VirtualTree(root);
    tree.put('new', bytes('x'));
    for (const path of ['new', 'scripts/run.sh', 'a.txt', './a.txt']) tree.readFile(path);
    tree.stat('scripts/lib/.hidden');
    expect(tree.readFiles()).toEqual([
      { path: 'a.txt', size: 5, sha256: sha256('alpha') },
      { path: 'scripts/run.sh', size: 3, sha256: sha256('run') },
    ]);
  });

  it('refuses a file that is too large before it is read', () => {
    const tree = new VirtualTree(root);
    expect(codeOf(() => tree.readFile('a.txt', 4))).toBe('EPERM');
    expect(tree.readFiles()).toEqual([]);
    expect(text(tree.readFile('a.txt', 5))).toBe('alpha');
  });
});

describe('executable', () => {
  it('takes globs with backslashes on Windows, where paths have them', () => {
    const tree = new VirtualTree(root, { executable: ['scripts\\*.sh'], platform: 'win32' });
    tree.put('scripts/generated.sh', bytes('#!/bin/sh\n'));
    expect(tree.stat('scripts/generated.sh').mode & 0o777).toBe(0o755);
  });

  it('sets the mode of matching files, hidden and generated ones too', () => {
    const tree = new VirtualTree(root, { executable: ['scripts/**', '*.sh'] });
    tree.put('new.sh', bytes(''));
    tree.put('new.ign', bytes(''));
    for (const path of ['scripts/run.sh', 'scripts/lib/.hidden', 'new.sh'])
      expect(tree.lstat(path).mode).toBe(0o100755);
    expect(tree.lstat('new.ign').mode).toBe(0o100644);
    expect(tree.stat('scripts').kind).toBe('folder');
  });
});

describe('generated files', () => {
  it('stand over real ones, in folders that need not exist', () => {
    const tree = new VirtualTree(root);
    tree.put('a.txt', bytes('generated'), 0o600);
    tree.put('deep/er/b.ign', bytes('b'));
    tree.put('scripts/c.ign', bytes('c'));
    expect(text(tree.readFile('a.txt'))).toBe('generated');
    expect(tree.stat('a.txt')).toEqual({ kind: 'file', mode: 0o100600, size: 9 });
    expect(tree.stat('deep/er').kind).toBe('folder');
    expect(tree.readdir('.').sort()).toEqual(['a.txt', 'deep', 'scripts']);
    expect(tree.readdir('deep')).toEqual(['er']);
    expect(tree.readdir('scripts').sort()).toEqual(['c.ign', 'lib', 'run.sh']);
    expect(readFileSync(join(root, 'a.txt'), 'utf8')).toBe('alpha');
  });

  it('replace each other', () => {
    const tree = new VirtualTree(root);
    tree.put('x.ign', bytes('one'));
    tree.put('x.ign', bytes('two'));
    expect(text(tree.readFile('x.ign'))).toBe('two');
  });

  it("can't leave the folder, nor replace a folder, nor stand below a file", async () => {
    await symlink('..', join(root, 'up'));
    const tree = new VirtualTree(root);
    expect(codeOf(() => tree.put('../x', bytes('')))).toBe('EPERM');
    expect(codeOf(() => tree.put('/x', bytes('')))).toBe('EPERM');
    expect(codeOf(() => tree.put('up/x', bytes('')))).toBe('EPERM');
    expect(codeOf(() => tree.put('scripts', bytes('')))).toBe('EISDIR');
    expect(codeOf(() => tree.put('.', bytes('')))).toBe('EISDIR');
    expect(codeOf(() => tree.put('a.txt/x', bytes('')))).toBe('ENOTDIR');
  });

  it('are found through a link to their folder', async () => {
    await symlink('scripts', join(root, 'alias'));
    const tree = new VirtualTree(root);
    tree.put('alias/x.ign', bytes('x'));
    expect(text(tree.readFile('scripts/x.ign'))).toBe('x');
    expect(text(tree.readFile('alias/x.ign'))).toBe('x');
  });
});

describe('links', () => {
  it('are followed inside, told as links at the end, and read as they are written', async () => {
    await symlink('scripts/lib', join(root, 'lib'));
    await symlink(join(root, 'a.txt'), join(root, 'absolute'));
    await symlink('../files/a.txt', join(root, 'around'));
    const tree = new VirtualTree(root);
    expect(tree.lstat('lib').kind).toBe('link');
    expect(tree.readlink('lib')).toBe('scripts/lib');
    expect(text(tree.readFile('lib/.hidden'))).toBe('hidden');
    expect(text(tree.readFile('lib/../run.sh'))).toBe('run');
    expect(text(tree.readFile('absolute'))).toBe('alpha');
    expect(text(tree.readFile('around'))).toBe('alpha');
  });

  it.each([
    ['a relative link out', '../secret', 'link'],
    ['an absolute link out', '/etc/passwd', 'link'],
    ['a link to the folder above', '..', 'link/secret'],
    ['a link that leads out of the folder it stands in', 'scripts/../../secret', 'link'],
    ['a folder whose name only begins like ours', '../files-too/x', 'link'],
  ])('refuse %s, and name where it leads', async (_, target, path) => {
    await mkdir(join(outside, 'files-too'));
    await writeFile(join(outside, 'files-too/x'), '');
    await symlink(target, join(root, 'link'));
    const tree = new VirtualTree(root);
    expect(codeOf(() => tree.readFile(path))).toBe('EPERM');
    expect(codeOf(() => tree.stat(path))).toBe('EPERM');
    expect(() => tree.readFile(path)).toThrow(/leads out of the folder/);
    expect(tree.readlink('link')).toBe(target);
  });

  it('that go in circles or nowhere end', async () => {
    await symlink('b', join(root, 'a'));
    await symlink('a', join(root, 'b'));
    await symlink('self/self', join(root, 'self'));
    await symlink('nowhere', join(root, 'dangling'));
    const tree = new VirtualTree(root);
    expect(codeOf(() => tree.stat('a'))).toBe('ELOOP');
    expect(codeOf(() => tree.stat('self'))).toBe('ELOOP');
    expect(codeOf(() => tree.stat('dangling'))).toBe('ENOENT');
    expect(tree.lstat('dangling').kind).toBe('link');
  });

  it('to the folder itself work under the name that it was given', async () => {
    await symlink('files', join(outside, 'alias'));
    await symlink(join(outside, 'alias/a.txt'), join(root, 'absolute'));
    const tree = new VirtualTree(join(outside, 'alias'));
    expect(text(tree.readFile('absolute'))).toBe('alpha');
  });
});

describe('outside', () => {
  it.each(['..', '../secret', 'scripts/../../secret', '/etc/passwd', '/', './../secret'])('%s is refused', (path) => {
    const tree = new VirtualTree(root);
    for (const operation of ['stat', 'lstat', 'readFile', 'readdir', 'readlink'] as const) {
      expect(codeOf(() => tree[operation](path))).toBe('EPERM');
    }
  });

  it.each(['..\\secret', 'scripts\\..\\..\\secret', 'C:', 'C:\\secret', 'a.txt:stream'])(
    '%s is refused on Windows, where it is a path',
    (path) => {
      const tree = new VirtualTree(root, { platform: 'win32' });
      expect(codeOf(() => tree.readFile(path))).toBe('EPERM');
      expect(codeOf(() => tree.put(path, bytes('')))).toBe('EPERM');
    },
  );
});

describe('any tree of folders, files and links', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd');
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
  const route = fc
    .array(fc.constantFrom('a', 'b', 'c', 'd', 'a', 'b', '.', '..', ''), { minLength: 1, maxLength: 6 })
    .map((names) => names.join('/'))
    .filter((text) => text !== '' && !text.startsWith('/'));
  const entry = fc.oneof(
    fc.record({ path, content: fc.string({ maxLength: 3 }) }),
    fc.record({ path, target: route }),
    fc.record({ path, target: route.map((rest) => `ROOT/${rest}`) }),
  );

  it('answers as the kernel does, and refuses exactly what it may not reach', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 12 }),
        fc.array(route, { minLength: 1, maxLength: 8 }),
        (entries, paths) => {
          const folder = mkdtempSync(join(realpathSync(tmpdir()), 'tree-'));
          const top = join(folder, 'x/top');
          try {
            mkdirSync(top, { recursive: true });
            for (const item of entries) tryToMake(top, item);
            const tree = new VirtualTree(top);
            for (const asked of paths) compare(tree, top, asked);
          } finally {
            rmSync(folder, { recursive: true });
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  function tryToMake(top: string, item: { path: string; content?: string; target?: string }): void {
    try {
      mkdirSync(join(top, dirname(item.path)), { recursive: true });
      if (realpathSync(join(top, dirname(item.path))).startsWith(top)) {
        if (item.target === undefined) writeFileSync(join(top, item.path), item.content ?? '', { flag: 'wx' });
        else symlinkSync(item.target.replace('ROOT', top), join(top, item.path));
      }
    } catch {
      // The name is taken, or leads through a file: another tree then.
    }
  }

  function compare(tree: VirtualTree, top: string, asked: string): void {
    const real = realResult(top, asked);
    const ours = ourResult(tree, asked);
    if (ours === 'EPERM') expect(real === 'outside' || /^E/.test(real), `${asked} is ${real}`).toBe(true);
    else expect(ours, asked).toBe(real);
  }

  /** What the kernel finds: contents, `folder`, `outside`, or a code. No path is normalised before the kernel sees it. */
  function realResult(top: string, asked: string): string {
    try {
      const real = realpathSync.native(`${top}/${asked}`);
      if (real !== top && !real.startsWith(top + sep)) return 'outside';
      return `=${readFileSync(real, 'utf8')}`;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'EISDIR' ? 'folder' : String(code);
    }
  }

  function ourResult(tree: VirtualTree, asked: string): string {
    try {
      if (tree.stat(asked).kind === 'folder') return 'folder';
      return `=${text(tree.readFile(asked))}`;
    } catch (error) {
      if (error instanceof TreeError) return error.code;
      throw error;
    }
  }
});
