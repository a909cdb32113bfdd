import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { noProgress, type Progress } from '../io/progress.ts';
import type { Compression } from './block-encoder.ts';
import { compress } from './compress.ts';
import { TAR_END, type TarHeader, tarHeader, tarPadding } from './tar.ts';
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
  try {
    for await (const chunk of compress(tap(tarStream(tree, prefix, signal), plain, progress), compression)) {
      signal?.throwIfAborted();
      packed.update(chunk);
      size += chunk.length;
      await file.writeFile(chunk);
    }
  } catch (error) {
    // An interruption ends git, too, which then seems to be what failed.
    signal?.throwIfAborted();
    throw error;
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
  const { time } = tree;
  const below = prefix.slice(1);
  const folder = (path: string) =>
    tarHeader({ name: `${path}/`, type: 'directory', mode: MODES.directory, time, size: 0 });
  for (const path of parents(below)) yield await folder(path);
  const contents = tree.contents(tree.entries, signal);
  try {
    for (const entry of tree.entries) {
      const name = below ? `${below}/${entry.path}` : entry.path;
      if (entry.kind === 'directory') yield await folder(name);
      else yield* withContent({ name, mode: MODES[entry.kind], time }, await nextContent(contents, entry));
    }
    // Lets the source find out that it ended well.
    await contents.next();
  } finally {
    await contents.return(undefined);
  }
  yield TAR_END;
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

type Common = Pick<TarHeader, 'name' | 'mode' | 'time'>;

async function* withContent(common: Common, { entry, size, body }: EntryContent): AsyncGenerator<Buffer> {
  if (entry.kind === 'link') {
    yield await tarHeader({
      ...common,
      type: 'symlink',
      size: 0,
      target: (await collect(entry.path, size, body)).toString(),
    });
    return;
  }
  yield await tarHeader({ ...common, type: 'file', size });
  yield* checked(entry.path, size, body);
  yield tarPadding(size);
}

/** A body that is as long as was said. */
async function* checked(path: string, size: number, body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let left = size;
  for await (const chunk of body) {
    left -= chunk.length;
    if (left < 0) break;
    yield chunk;
  }
  if (left !== 0) throw new Error(`${path} changed while it was read: try again`);
}

async function collect(path: string, size: number, body: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of checked(path, size, body)) chunks.push(chunk);
  return Buffer.concat(chunks);
}
