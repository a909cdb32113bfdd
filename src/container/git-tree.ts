import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { quote } from '../io/errors.ts';
import { git, startGit } from '../io/git.ts';
import { SpentBuffers } from '../io/spent-buffers.ts';
import { type EntryContent, type EntryKind, type Remark, type SourceTree, tarTime, withFolders } from './tree.ts';

interface GitEntry {
  readonly path: string;
  readonly kind: EntryKind;
  readonly object: string;
}

const KINDS: Readonly<Record<string, EntryKind>> = {
  '100644': 'file',
  // Written by very old versions of git.
  '100664': 'file',
  '100755': 'executable',
  '120000': 'link',
  '160000': 'directory',
};

/** How many objects are asked for at once. */
const REQUESTS = 100;
/** How many changed files a warning names. */
const NAMED_CHANGES = 5;

/**
 * The files that git tracks at HEAD below `folder`, whose place in the checkout is `prefix` (`''` or `a/b/`). Contents
 * are the blobs as they are stored; the index and the work tree play no part.
 */
export async function readGitTree(folder: string, prefix: string, signal?: AbortSignal): Promise<SourceTree> {
  const { revision, time } = await readHead(folder, signal);
  const treeish = prefix ? `${revision}:${prefix.replace(/\/$/, '')}` : revision;
  const listing = await git(folder, ['ls-tree', '-r', '-z', '--full-tree', treeish], signal).catch((cause) => {
    throw new Error(`no tracked file below ${quote(prefix)} at commit ${revision}: commit the sources first`, {
      cause,
    });
  });
  const tracked = parseListing(listing);
  const entries = withFolders(tracked);
  return {
    entries,
    time,
    revision,
    remarks: [...(await changes(folder, signal)), ...submodules(tracked)],
    contents: (wanted, abort) => readBlobs(folder, wanted.filter(hasBlob), abort),
  };
}

async function readHead(folder: string, signal?: AbortSignal): Promise<{ revision: string; time: number }> {
  const format = ['log', '-1', '--no-show-signature', '--format=%H %ct', 'HEAD'];
  const head = await git(folder, format, signal).catch((cause) => {
    throw new Error(`the checkout of ${quote(folder)} has no commit yet: the image holds what is committed`, { cause });
  });
  const [revision = '', seconds = ''] = head.toString().trim().split(' ');
  return { revision, time: tarTime(Number(seconds)) };
}

/** The records of `git ls-tree -r -z`: `<mode> <type> <object>\t<path>\0`. */
export function parseListing(listing: Buffer): GitEntry[] {
  const entries: GitEntry[] = [];
  for (let start = 0; start < listing.length; ) {
    const end = listing.indexOf(0, start);
    const record = listing.subarray(start, end < 0 ? listing.length : end);
    entries.push(parseRecord(record));
    start += record.length + 1;
  }
  return entries;
}

function parseRecord(record: Buffer): GitEntry {
  const tab = record.indexOf('\t');
  const [mode = '', , object = ''] = record.subarray(0, Math.max(0, tab)).toString('latin1').split(' ');
  const kind = KINDS[mode];
  if (!kind || !/^[0-9a-f]{40,64}$/.test(object)) {
    throw new Error(`git ls-tree printed ${quote(record.toString('latin1'))}, which is not understood`);
  }
  return { path: decodePath(record.subarray(tab + 1)), kind, object };
}

function decodePath(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const name = quote(bytes.toString('latin1'));
    throw new Error(`the file name ${name} is not UTF-8, so no registry and no other system can hold it: rename it`, {
      cause,
    });
  }
}

function hasBlob(entry: object): entry is GitEntry {
  return 'object' in entry && 'kind' in entry && entry.kind !== 'directory';
}

/** Staged and uncommitted changes: they aren't in the image, and a person may have expected them there. */
async function changes(folder: string, signal?: AbortSignal): Promise<Remark[]> {
  const args = [
    'status',
    '--porcelain=v1',
    '--no-renames',
    '-z',
    '--untracked-files=no',
    '--ignore-submodules=dirty',
    '--',
    '.',
  ];
  const status = await git(folder, args, signal);
  const names = status
    .toString()
    .split('\0')
    .filter((line) => line !== '')
    .map((line) => quote(line.slice(3)));
  if (names.length === 0) return [];
  const more = names.length > NAMED_CHANGES ? ` and ${names.length - NAMED_CHANGES} more` : '';
  const message = `uncommitted changes are left out of the image: ${names.slice(0, NAMED_CHANGES).join(', ')}${more}`;
  return [{ severity: 'warning', message }];
}

function submodules(entries: readonly GitEntry[]): Remark[] {
  return entries
    .filter(({ kind }) => kind === 'directory')
    .map(({ path }) => ({
      severity: 'notice',
      message: `the submodule ${quote(path)} is an empty folder in the image, as in \`git archive\``,
    }));
}

async function* readBlobs(
  folder: string,
  entries: readonly GitEntry[],
  signal?: AbortSignal,
): AsyncGenerator<EntryContent> {
  if (entries.length === 0) return;
  const child = startGit(folder, ['cat-file', '--batch', '--buffer'], signal);
  const failed = once(child, 'close').then(([code]) => Number(code));
  failed.catch(() => {});
  try {
    // A broken pipe shows up as a missing answer, with a better message, or is our own doing.
    const asked = pipeline(requests(entries), child.stdin).catch(() => {});
    const objects = new ObjectStream(child.stdout);
    for (const entry of entries) {
      const size = await objects.header(entry);
      yield { entry, size, body: objects.body(size) };
      await objects.finish();
    }
    await asked;
    if ((await failed) !== 0) throw new Error(`git cat-file failed in ${quote(folder)}`);
  } finally {
    child.kill();
  }
}

/** What `git cat-file --batch` reads, a few kilobytes at a time. */
function* requests(entries: readonly GitEntry[]): Generator<string> {
  for (let start = 0; start < entries.length; start += REQUESTS) {
    const objects = entries.slice(start, start + REQUESTS).map(({ object }) => object);
    yield `${objects.join('\n')}\n`;
  }
}

/** The answers of `git cat-file --batch`: `<object> <type> <size>\n<content>\n` each. */
export class ObjectStream {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #spent = new SpentBuffers();
  #buffer: Buffer = Buffer.alloc(0);
  /** Bytes of the current content that nobody has read yet. */
  #left = 0;

  constructor(stdout: Readable) {
    this.#chunks = stdout[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  }

  /** Reads the next object's header; resolves to its size in bytes. */
  async header({ object, path }: Pick<GitEntry, 'object' | 'path'>): Promise<number> {
    let end = this.#buffer.indexOf('\n');
    while (end < 0) {
      this.#buffer = Buffer.concat([this.#buffer, await this.#next(path)]);
      end = this.#buffer.indexOf('\n');
    }
    const line = this.#buffer.subarray(0, end).toString('latin1');
    this.#buffer = this.#buffer.subarray(end + 1);
    const [, size] = /^[0-9a-f]+ blob (\d+)$/.exec(line) ?? [];
    if (size === undefined || !line.startsWith(object)) {
      throw new Error(`git has no content for ${quote(path)}: ${quote(line)}. A partial clone may lack it.`);
    }
    this.#left = Number(size);
    return this.#left;
  }

  /** The current object's content. */
  async *body(size: number): AsyncGenerator<Buffer> {
    if (size !== this.#left) throw new Error('the contents of a tree must be read one after the other');
    while (this.#left > 0) {
      if (this.#buffer.length === 0) this.#buffer = await this.#next('an object');
      const piece = this.#buffer.subarray(0, this.#left);
      this.#buffer = this.#buffer.subarray(piece.length);
      this.#left -= piece.length;
      yield piece;
    }
  }

  /** Skips what is left of the content and the newline after it. */
  async finish(): Promise<void> {
    for (let skip = this.#left + 1; skip > 0; ) {
      if (this.#buffer.length === 0) this.#buffer = await this.#next('an object');
      const step = Math.min(skip, this.#buffer.length);
      this.#buffer = this.#buffer.subarray(step);
      skip -= step;
    }
    this.#left = 0;
  }

  async #next(path: string): Promise<Buffer> {
    const { value, done } = await this.#chunks.next();
    if (done) throw new Error(`git cat-file ended before it had printed ${quote(path)}`);
    this.#spent.add(value.length);
    return value;
  }
}
