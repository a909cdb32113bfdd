/** What an entry of the image is; ownership, times and any finer mode play no part. */
export type EntryKind = 'file' | 'executable' | 'link' | 'directory';

export interface TreeEntry {
  /** Relative to the context, separated by `/`. */
  readonly path: string;
  readonly kind: EntryKind;
}

/** An entry with its bytes: a file's content, or a link's target. */
export interface EntryContent {
  readonly entry: TreeEntry;
  readonly size: number;
  readonly body: AsyncIterable<Buffer>;
}

/** The sources that go into an image. */
export interface SourceTree {
  /** Files, links and folders in the image's order; every parent comes before what it holds. */
  readonly entries: readonly TreeEntry[];
  /** Modification time of every entry, in seconds since 1970. */
  readonly time: number;
  /** The commit that the sources are from, if they are from one. */
  readonly revision: string | undefined;
  /** What a person should know about the selection. */
  readonly remarks: readonly Remark[];
  /** The contents of those of `entries` that aren't folders, in their order; each is read before the next. */
  contents(entries: readonly TreeEntry[], signal?: AbortSignal): AsyncGenerator<EntryContent>;
}

export interface Remark {
  readonly severity: 'warning' | 'notice';
  readonly message: string;
}

/** The largest time that the library writes into a header: it counts seconds in 32 bits. */
const MAX_TIME = 2 ** 31 - 1;

/** A time as a tar header can hold it, in whole seconds. */
export function tarTime(seconds: number): number {
  return Number.isFinite(seconds) ? Math.min(MAX_TIME, Math.max(0, Math.floor(seconds))) : 0;
}

/**
 * Adds the folders that the paths imply and sorts by the bytes of the path, so that the order depends neither on a
 * locale nor on UTF-16.
 */
export function withFolders<T extends TreeEntry>(entries: readonly T[]): (T | TreeEntry)[] {
  const byPath = new Map<string, T | TreeEntry>();
  for (const { path } of entries) {
    for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
      byPath.set(path.slice(0, end), { path: path.slice(0, end), kind: 'directory' });
    }
  }
  for (const entry of entries) byPath.set(entry.path, entry);
  return [...byPath.values()]
    .map((entry) => ({ entry, key: Buffer.from(entry.path) }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
    .map(({ entry }) => entry);
}
