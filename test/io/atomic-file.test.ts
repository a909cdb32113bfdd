import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AtomicFile, assertWritable, writeFileAtomic } from '../../src/io/atomic-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-atomic-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('AtomicFile', () => {
  it('shows the file only after commit', async () => {
    const path = join(folder, 'sub/a.iso');
    await using file = await AtomicFile.create(path);
    await file.handle.write('all of it');
    await expect(readFile(path)).rejects.toThrow('ENOENT');
    await file.commit();
    expect(await readFile(path, 'utf8')).toBe('all of it');
    expect(await readdir(join(folder, 'sub'))).toEqual(['a.iso']);
  });

  it('leaves nothing when it is not committed', async () => {
    const failing = async () => {
      await using file = await AtomicFile.create(join(folder, 'a'));
      await file.handle.write('half');
      throw new Error('no power');
    };
    await expect(failing()).rejects.toThrow('no power');
    expect(await readdir(folder)).toEqual([]);
  });

  it('replaces an existing file with force only', async () => {
    const path = join(folder, 'a');
    await writeFile(path, 'old');
    await expect(AtomicFile.create(path)).rejects.toThrow(`${path} exists already: remove it, or set "force"`);
    await writeFileAtomic(path, 'new', { force: true });
    expect(await readFile(path, 'utf8')).toBe('new');
  });

  it('keeps a file that appeared while it was written', async () => {
    const path = join(folder, 'a');
    await using file = await AtomicFile.create(path);
    await writeFile(path, 'quicker');
    await expect(file.commit()).rejects.toThrow('exists already');
    expect(await readFile(path, 'utf8')).toBe('quicker');
  });

  it('refuses a folder, with force too', async () => {
    await mkdir(join(folder, 'd'));
    await expect(assertWritable(join(folder, 'd'), true)).rejects.toThrow('is a folder');
  });
});
