import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { quote } from '../io/errors.ts';
import { type IgnoreFile, readIgnoreFile } from './ignore-file.ts';
import { type EntryContent, type EntryKind, type SourceTree, type TreeEntry, tarTime, withFolders } from './tree.ts';

/**
 * A folder outside of git: everything that `.containerignore`, else `.dockerignore`, doesn't leave out, and never a
 * `.git`.
 *
 * @param time seconds since 1970 for all entries; files on disk have no time that two machines agree on
 */
export async function readFolderTree(folder: string, time: number): Promise<SourceTree> {
  const found: TreeEntry[] = [];
  await collect(folder, '', await readIgnoreFile(folder), found);
  const entries = withFolders(found);
  return {
    entries,
    time: tarTime(time),
    revision: undefined,
    remarks: [],
    contents: (wanted, signal) => readFiles(folder, wanted, signal),
  };
}

async function collect(folder: string, below: string, ignore: IgnoreFile, found: TreeEntry[]): Promise<void> {
  for (const item of await readdir(join(folder, below), { withFileTypes: true })) {
    // Never git's own data, nor that of a checkout further down.
    if (item.name.toLowerCase() === '.git') continue;
    const path = below ? `${below}/${item.name}` : item.name;
    const ignored = ignore.ignores(path);
    if (!ignored) found.push({ path, kind: await kindOf(join(folder, path), path) });
    if (item.isDirectory() && (!ignored || ignore.hasExceptions)) await collect(folder, path, ignore, found);
  }
}

async function kindOf(file: string, path: string): Promise<EntryKind> {
  const stat = await lstat(file);
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'link';
  if (stat.isFile()) return stat.mode & 0o111 ? 'executable' : 'file';
  throw new Error(`${quote(path)} is neither a file, a link nor a folder: leave it out by .containerignore`);
}

async function* readFiles(
  folder: string,
  entries: readonly TreeEntry[],
  signal?: AbortSignal,
): AsyncGenerator<EntryContent> {
  for (const entry of entries) {
    if (entry.kind === 'directory') continue;
    signal?.throwIfAborted();
    const file = join(folder, entry.path);
    if (entry.kind === 'link') {
      const target = Buffer.from((await readlink(file)).replaceAll(sep, '/'));
      yield {
        entry,
        size: target.length,
        body: (async function* () {
          yield target;
        })(),
      };
    } else {
      const { size } = await lstat(file);
      yield { entry, size, body: createReadStream(file, { signal }) };
    }
  }
}
