import { createReadStream } from 'node:fs';
import { chmod, mkdir, mkdtemp, open, readdir, rename, rm, rmdir, symlink, utimes } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { decompressStream } from '../archive/index.ts';
import { hasCode, quote } from '../io/errors.ts';
import { type ImageSource, readImage } from './pull.ts';

export interface ExtractOptions {
  readonly source: ImageSource;
  /** A tag or digest. */
  readonly tag: string | undefined;
  /** The folder of the sources in images that don't tell by their working directory. */
  readonly prefix: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gets the sources of an image back into a new or empty folder, which appears only when it is complete.
 *
 * @returns the digest of the image's manifest
 * @throws Error where the folder holds something, or the image is not one of sources
 */
export async function extractSources(folder: string, options: ExtractOptions): Promise<string> {
  await assertEmpty(folder);
  const parent = dirname(resolve(folder));
  await mkdir(parent, { recursive: true });
  const work = await mkdtemp(join(parent, `.${basename(resolve(folder))}.`));
  try {
    const image = await readImage(options.source, options.tag, work);
    const [layer, ...more] = image.layers;
    if (!layer || more.length > 0) {
      throw new Error(
        `the image has ${image.layers.length} layers, and one of sources has one: use \`skopeo copy\` for it`,
      );
    }
    const file = join(work, 'layer');
    await options.source.fetch(layer, file);
    const tree = join(work, 'tree');
    await mkdir(tree);
    await unpackLayer(file, layer.mediaType, image.workingDirectory ?? options.prefix, tree, options.signal);
    await moveInto(tree, folder);
    return image.digest;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function assertEmpty(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if (hasCode(error, 'ENOENT')) return [];
    throw hasCode(error, 'ENOTDIR') ? new Error(`${folder} is a file: name a new folder`, { cause: error }) : error;
  });
  if (names.length > 0) throw new Error(`${folder} is not empty: name a new folder`);
}

async function moveInto(tree: string, folder: string): Promise<void> {
  await rmdir(folder).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error;
  });
  await rename(tree, folder);
}

/** A link is made when everything else is there, so that nothing is ever written through one. */
interface Link {
  readonly path: string;
  readonly target: string;
}

/**
 * Unpacks what a layer has below `prefix`.
 *
 * @throws Error for names that leave the folder, and for kinds of entries that sources don't have
 */
export async function unpackLayer(
  file: string,
  mediaType: string,
  prefix: string,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  const links: Link[] = [];
  const folders: { path: string; time: Date }[] = [];
  const below = prefix.replace(/^\/+|\/+$/g, '');
  for await (const entry of layerEntries(file, mediaType, signal)) {
    const name = placeBelow(entry.header.name, below);
    if (!name) entry.resume();
    else await unpackEntry(entry as Content, entry.header, name, join(folder, name), { links, folders });
  }
  for (const { path, target } of links) {
    await mkdir(dirname(path), { recursive: true });
    await symlink(target, path);
  }
  for (const { path, time } of folders.reverse()) await utimes(path, time, time);
}

type Content = AsyncIterable<Buffer> & { resume(): unknown };

async function unpackEntry(
  content: Content,
  header: Header,
  name: string,
  path: string,
  { links, folders }: { links: Link[]; folders: { path: string; time: Date }[] },
): Promise<void> {
  const time = header.mtime ?? new Date(0);
  if (header.type === 'directory') {
    await mkdir(path, { recursive: true });
    folders.push({ path, time });
    content.resume();
  } else if (header.type === 'symlink') {
    links.push({ path, target: header.linkname ?? '' });
    content.resume();
  } else if (header.type === 'file' || header.type === 'contiguous-file') {
    await mkdir(dirname(path), { recursive: true });
    await using handle = await open(path, 'wx');
    for await (const chunk of content) await handle.writeFile(chunk);
    await chmod(path, (header.mode ?? 0o644) & 0o111 ? 0o755 : 0o644);
    await handle.utimes(time, time);
  } else {
    throw new Error(`the image holds ${quote(name)}, a ${header.type}, which sources don't have`);
  }
}

/** The name relative to the prefix; empty for the prefix itself and undefined for what lies elsewhere. */
function placeBelow(name: string, below: string): string | undefined {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..') || /[\0]/.test(name) || (process.platform === 'win32' && /[\\:]/.test(name))) {
    throw new Error(`the image holds the name ${quote(name)}, which leads out of the folder`);
  }
  const clean = parts.join('/');
  if (below === '') return clean;
  return clean.startsWith(`${below}/`) ? clean.slice(below.length + 1) : undefined;
}

async function* layerEntries(file: string, mediaType: string, signal?: AbortSignal) {
  const reader = extract();
  const input = createReadStream(file, { signal });
  const stream = decompressed(input, mediaType);
  for (const part of new Set([input, stream])) {
    part.on('error', (error: Error) =>
      reader.destroy(new Error(`the layer is damaged: ${error.message}`, { cause: error })),
    );
  }
  stream.pipe(reader);
  try {
    for await (const entry of reader) yield entry;
  } finally {
    input.destroy();
  }
}

/** Media types end in `tar`, `tar+gzip`, `tar+zstd`, or `tar.gzip` where Docker made them. */
function decompressed(input: Readable, mediaType: string): Readable {
  if (/[.+]gzip$/.test(mediaType)) return input.pipe(createGunzip());
  if (mediaType.endsWith('+zstd')) return Readable.from(decompressStream('zstd', 'the layer')(input));
  if (mediaType.endsWith('tar')) return input;
  throw new Error(`layers of type ${quote(mediaType)} can't be read`);
}
