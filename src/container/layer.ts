import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { type Pack, pack } from 'tar-stream';
import { noProgress, type Progress } from '../io/progress.ts';
import type { Compression } from './block-encoder.ts';
import { compress } from './compress.ts';
import type { EntryContent, EntryKind, SourceTree, TreeEntry } from './tree.ts';

/** A blob of an image: media type, digest (`sha256:<hex>`) and length in bytes. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

export interface Layer {
  readonly descriptor: Descriptor;
  /** Digest of the tar archive before compression. */
  readonly diffId: string;
  /** The compressed layer. */
  readonly path: string;
}

const LAYER_MEDIA_TYPE = 'application/vnd.oci.image.layer.v1.tar+';

const MODES: Readonly<Record<EntryKind, number>> = { file: 0o644, executable: 0o755, link: 0o777, directory: 0o755 };
/** Files up to this size are handed to the archive in one piece, which for many small ones is faster. */
const SMALL = 32 * 1024;

/**
 * Writes the tree as one compressed layer to the file `path`.
 *
 * @param prefix the folder in the image, absolute and normalized: `/src`
 */
export async function writeLayer(
  tree: SourceTree,
  prefix: string,
  path: string,
  options: { compression?: Compression; progress?: Progress; signal?: AbortSignal | undefined } = {},
): Promise<Layer> {
  const { compression = 'gzip', progress = noProgress, signal } = options;
  const plain = createHash('sha256');
  const packed = createHash('sha256');
  let size = 0;
  await using file = await open(path, 'wx');
  for await (const chunk of compress(tap(tarStream(tree, prefix, signal), plain, progress), compression)) {
    signal?.throwIfAborted();
    packed.update(chunk);
    size += chunk.length;
    await file.writeFile(chunk);
  }
  const digest = `sha256:${packed.digest('hex')}`;
  return {
    descriptor: { mediaType: LAYER_MEDIA_TYPE + compression, digest, size },
    diffId: `sha256:${plain.digest('hex')}`,
    path,
  };
}

async function* tap(
  stream: AsyncIterable<Buffer>,
  hash: { update(chunk: Buffer): unknown },
  progress: Progress,
): AsyncGenerator<Buffer> {
  for await (const chunk of stream) {
    hash.update(chunk);
    progress.advance(chunk.length);
    yield chunk;
  }
}

/** The tree as a tar archive: sorted, owner 0, the tree's time, modes 0644, 0755 and 0777 only. */
async function* tarStream(tree: SourceTree, prefix: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const archive = pack();
  const filled = fill(archive, tree, prefix, signal).catch((error: Error) => archive.destroy(error));
  yield* archive as AsyncIterable<Buffer>;
  await filled;
}

async function fill(archive: Pack, tree: SourceTree, prefix: string, signal?: AbortSignal): Promise<void> {
  const common = { mtime: new Date(tree.time * 1000), uid: 0, gid: 0, uname: '', gname: '' };
  const below = prefix.slice(1);
  const addFolder = (name: string) =>
    archive.entry({ ...common, name: `${name}/`, type: 'directory', mode: MODES.directory });
  for (const folder of parents(below)) addFolder(folder);
  const contents = tree.contents(tree.entries, signal);
  try {
    for (const entry of tree.entries) {
      const name = below ? `${below}/${entry.path}` : entry.path;
      if (entry.kind === 'directory') addFolder(name);
      else await addContent(archive, { ...common, name, mode: MODES[entry.kind] }, await nextContent(contents, entry));
    }
    // Lets the source find out that it ended well.
    await contents.next();
  } finally {
    await contents.return(undefined);
  }
  archive.finalize();
}

/** `a/b/c` → `a`, `a/b`, `a/b/c`; nothing for the root. */
function parents(path: string): string[] {
  if (path === '') return [];
  return path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
}

async function nextContent(contents: AsyncGenerator<EntryContent>, entry: TreeEntry): Promise<EntryContent> {
  const { value, done } = await contents.next();
  if (done || value.entry.path !== entry.path) throw new Error(`the content of ${entry.path} is missing`);
  return value;
}

type Header = { name: string; mode: number; mtime: Date; uid: number; gid: number };

async function addContent(archive: Pack, header: Header, { entry, size, body }: EntryContent): Promise<void> {
  if (entry.kind === 'link') {
    const linkname = (await collect(entry.path, size, body)).toString();
    await written((done) => archive.entry({ ...header, type: 'symlink', linkname }, done));
  } else if (size <= SMALL) {
    const content = await collect(entry.path, size, body);
    await written((done) => archive.entry({ ...header, type: 'file' }, content, done));
  } else {
    await written((done) => void copy(archive.entry({ ...header, type: 'file', size }, done), size, body).catch(done));
  }
}

/** Waits until the archive took an entry, which it does as fast as it is read. */
function written(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())));
}

async function copy(sink: ReturnType<Pack['entry']>, size: number, body: AsyncIterable<Buffer>): Promise<void> {
  let left = size;
  for await (const chunk of body) {
    left -= chunk.length;
    if (left < 0) break;
    if (!sink.write(chunk)) await new Promise<void>((resolve) => sink.once('drain', () => resolve()));
  }
  if (left !== 0) throw new Error('a file changed while it was read: try again');
  sink.end(null);
}

async function collect(path: string, size: number, body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  const [only = Buffer.alloc(0)] = chunks;
  const content = chunks.length > 1 ? Buffer.concat(chunks) : only;
  if (content.length !== size) throw new Error(`${path} changed while it was read: try again`);
  return content;
}
