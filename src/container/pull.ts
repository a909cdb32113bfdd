import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { extract as tarReader } from 'tar-stream';
import { messageOf, quote } from '../io/errors.ts';
import { sha256 } from '../io/hash.ts';
import { HttpError, transientNetworkError } from '../io/http.ts';
import { noProgress, type Progress } from '../io/progress.ts';
import { withRetries } from '../io/retry.ts';
import { compareDigest } from './blobs.ts';
import { CONFIG_MEDIA_TYPE, INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE } from './image.ts';
import type { Descriptor } from './layer.ts';
import { type IndexEntry, parseIndex } from './layout.ts';
import type { Registry } from './registry.ts';

const MAX_DOCUMENT = 4 * 1024 * 1024;
const DOCKER = 'application/vnd.docker.distribution.manifest';
const ACCEPT = [MANIFEST_MEDIA_TYPE, INDEX_MEDIA_TYPE, `${DOCKER}.v2+json`, `${DOCKER}.list.v2+json`].join(', ');
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** A place that images are read from; everything that it hands out was compared with its digest. */
export interface ImageSource {
  /** The manifest or index behind a tag or digest. */
  manifest(tag: string | undefined): Promise<Buffer>;
  /** Writes a blob to a new file. */
  fetch(descriptor: Descriptor, path: string): Promise<void>;
}

/** An image as it is stored somewhere. */
export interface StoredImage {
  readonly digest: string;
  readonly layers: readonly Descriptor[];
  /** The config's working directory, if it has one. */
  readonly workingDirectory: string | undefined;
}

/**
 * Reads what an image consists of. Of an index the first image is taken: sources are the same on every platform.
 *
 * @param temporary a folder for the config
 */
export async function readImage(source: ImageSource, tag: string | undefined, temporary: string): Promise<StoredImage> {
  let bytes = await source.manifest(tag);
  let document = parseDocument(bytes);
  if (Array.isArray(document.manifests)) {
    bytes = await source.manifest(toDescriptor(document.manifests[0]).digest);
    document = parseDocument(bytes);
  }
  if (!Array.isArray(document.layers)) throw new Error('the manifest lists no layers');
  const configPath = join(temporary, 'config.json');
  const config = toDescriptor(document.config);
  if (config.size > MAX_DOCUMENT) throw new Error(`the image's config has ${config.size} bytes`);
  await source.fetch(config, configPath);
  const { config: settings } = parseDocument(await readFile(configPath));
  const workingDirectory = (settings as { WorkingDir?: unknown } | undefined)?.WorkingDir;
  return {
    digest: `sha256:${sha256(bytes)}`,
    layers: document.layers.map(toDescriptor),
    workingDirectory: typeof workingDirectory === 'string' && workingDirectory ? workingDirectory : undefined,
  };
}

function parseDocument(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (value !== null && typeof value === 'object') return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new Error('a manifest or config of the image is not a JSON object');
}

function toDescriptor(value: unknown): Descriptor {
  const { mediaType = CONFIG_MEDIA_TYPE, digest, size } = (value ?? {}) as Partial<Descriptor>;
  if (typeof digest === 'string' && DIGEST.test(digest) && Number.isSafeInteger(size) && Number(size) >= 0) {
    return { mediaType: String(mediaType), digest, size: Number(size) };
  }
  throw new Error(`the image names a blob by ${quote(digest ?? '')}, which is not a sha256 digest`);
}

/** Reads images from a registry. */
export function registrySource(registry: Registry, progress: Progress = noProgress): ImageSource {
  return {
    async manifest(tag = 'latest') {
      const request = { method: 'GET', url: registry.url(`manifests/${tag}`), headers: { accept: ACCEPT } } as const;
      const response = await registry.send(request).catch((error: unknown) => {
        if (!(error instanceof HttpError && error.status === 404)) throw error;
        throw new Error(`${registry.host}/${registry.repository} has no ${quote(tag)}`, { cause: error });
      });
      const bytes = await registry.read(response, MAX_DOCUMENT);
      if (DIGEST.test(tag)) checkDigest(bytes, tag);
      else compareDigest(registry, response, `sha256:${sha256(bytes)}`);
      return bytes;
    },
    fetch: (descriptor, path) => withRetries(() => download(registry, descriptor, path, progress), registry.retry),
  };
}

async function download(registry: Registry, blob: Descriptor, path: string, progress: Progress): Promise<void> {
  const response = await registry.sendOnce({ method: 'GET', url: registry.url(`blobs/${blob.digest}`) });
  const hash = createHash('sha256');
  let size = 0;
  await using file = await open(path, 'w');
  try {
    for await (const chunk of response.body) {
      size += chunk.length;
      if (size > blob.size) break;
      hash.update(chunk);
      progress.advance(chunk.length);
      await file.writeFile(chunk);
    }
  } catch (error) {
    progress.advance(-size);
    registry.retry.signal?.throwIfAborted();
    throw transientNetworkError(response.url, error);
  }
  if (size !== blob.size || `sha256:${hash.digest('hex')}` !== blob.digest) {
    throw new Error(`${registry.host} gives other bytes than ${blob.digest} promises`);
  }
}

function checkDigest(bytes: Buffer, digest: string): void {
  if (`sha256:${sha256(bytes)}` !== digest) throw new Error(`the bytes of ${digest} are damaged`);
}

/** Reads images from an OCI layout folder. */
export function layoutSource(folder: string, name = folder): ImageSource {
  const blobPath = (digest: string) => join(folder, 'blobs', digest.replace(':', '/'));
  return {
    async manifest(tag) {
      if (tag && DIGEST.test(tag)) return readChecked(blobPath(tag), tag);
      const text = await readFile(join(folder, 'index.json'), 'utf8').catch((cause) => {
        throw new Error(`${name} is not an OCI layout`, { cause });
      });
      const { digest } = toDescriptor(choose(parseIndex(text, name), tag, name));
      return readChecked(blobPath(digest), digest);
    },
    async fetch({ digest }, path) {
      const bytes = await readFile(blobPath(digest));
      checkDigest(bytes, digest);
      await writeFile(path, bytes);
    },
  };
}

async function readChecked(path: string, digest: string): Promise<Buffer> {
  const bytes = await readFile(path);
  checkDigest(bytes, digest);
  return bytes;
}

function choose(entries: readonly IndexEntry[], tag: string | undefined, name: string): IndexEntry {
  const tagOf = ({ annotations }: IndexEntry) => annotations?.['org.opencontainers.image.ref.name'];
  const found = tag === undefined ? entries : entries.filter((entry) => tagOf(entry) === tag);
  const [first] = found;
  if (first && new Set(found.map(({ digest }) => digest)).size === 1) return first;
  const tags = entries.map(tagOf).filter((known) => known !== undefined);
  const list = tags.length > 0 ? `: it has ${tags.map(quote).join(', ')}` : '';
  throw new Error(
    first
      ? `${name} holds several images, name one by its tag${list}`
      : `${name} has no ${quote(tag ?? 'image')}${list}`,
  );
}

/** Unpacks an `oci-archive` into a folder, from which it is read as a layout. */
export async function unpackArchive(path: string, folder: string): Promise<void> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true });
  const reader = tarReader();
  const input = createReadStream(path);
  input.on('error', (error) => reader.destroy(error));
  input.pipe(reader);
  try {
    for await (const entry of reader) {
      const name = entry.header.name.replace(/^\.\//, '');
      if (/^(index\.json|oci-layout|blobs\/sha256\/[0-9a-f]{64})$/.test(name) && entry.header.type === 'file') {
        await using file = await open(join(folder, name), 'w');
        for await (const chunk of entry as AsyncIterable<Buffer>) await file.writeFile(chunk);
      } else entry.resume();
    }
  } catch (cause) {
    throw new Error(`${path} can't be read as an archive of an image: ${messageOf(cause)}`, { cause });
  } finally {
    input.destroy();
  }
}
