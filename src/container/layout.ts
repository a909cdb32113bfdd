import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { AtomicFile, writeFileAtomic } from '../io/atomic-file.ts';
import { hasCode, quote } from '../io/errors.ts';
import { sha256File } from '../io/hash.ts';
import { fileBlob } from './blob-source.ts';
import { type Image, INDEX_MEDIA_TYPE } from './image.ts';
import type { Descriptor } from './layer.ts';
import { TAR_END, tarHeader, tarPadding } from './tar.ts';

/** Source of the format: https://github.com/opencontainers/image-spec, "Image Layout". */
const LAYOUT = Buffer.from('{"imageLayoutVersion":"1.0.0"}');
const REF_NAME = 'org.opencontainers.image.ref.name';

export interface IndexEntry extends Descriptor {
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Writes the index of a layout: one entry per tag, all of the one manifest. */
function indexBytes(entries: readonly IndexEntry[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: INDEX_MEDIA_TYPE, manifests: entries }));
}

function taggedEntries(image: Image, tags: readonly string[]): IndexEntry[] {
  return tags.map((tag) => ({ ...image.manifest.descriptor, annotations: { [REF_NAME]: tag } }));
}

/**
 * Stores an image in an OCI layout folder. An existing layout is added to: tags move as they do in a registry, and
 * other images stay.
 *
 * @throws Error where the folder holds something else
 */
export async function writeLayout(folder: string, image: Image, tags: readonly string[]): Promise<void> {
  const existing = await existingEntries(folder);
  const blobs = join(folder, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  await addBlob(blobs, image.layer.descriptor.digest, (path) => copyFile(image.layer.path, path));
  for (const { descriptor, bytes } of [image.config, image.manifest]) {
    await addBlob(blobs, descriptor.digest, (path) => writeFile(path, bytes));
  }
  const kept = existing.filter(({ annotations }) => !tags.includes(annotations?.[REF_NAME] ?? ''));
  await writeFileAtomic(join(folder, 'oci-layout'), LAYOUT, { force: true });
  await writeFileAtomic(join(folder, 'index.json'), indexBytes([...kept, ...taggedEntries(image, tags)]), {
    force: true,
  });
}

/** A blob's name is its digest: what is there under it is what would be written, unless a disk lost it. */
async function addBlob(folder: string, digest: string, write: (path: string) => Promise<void>): Promise<void> {
  const hex = digest.slice('sha256:'.length);
  const path = join(folder, hex);
  const present = await stat(path).catch(() => undefined);
  if (present && (await sha256File(path)) === hex) return;
  const partial = await mkdtemp(join(folder, '.partial-'));
  try {
    await write(join(partial, hex));
    await rename(join(partial, hex), path);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function existingEntries(folder: string): Promise<readonly IndexEntry[]> {
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if (hasCode(error, 'ENOENT')) return [];
    throw error;
  });
  if (names.length === 0) return [];
  if (!names.includes('oci-layout'))
    throw new Error(`${folder} holds something else than an OCI layout: name a new folder`);
  const text = await readFile(join(folder, 'index.json'), 'utf8').catch(() => '{"manifests":[]}');
  return parseIndex(text, join(folder, 'index.json'));
}

/** Reads the entries of an index. */
export function parseIndex(text: string, name: string): readonly IndexEntry[] {
  try {
    const { manifests } = JSON.parse(text) as { manifests: IndexEntry[] };
    if (Array.isArray(manifests) && manifests.every((entry) => typeof entry?.digest === 'string')) return manifests;
  } catch {
    // Told below.
  }
  throw new Error(`${quote(name)} is not an index of images`);
}

/** Stores an image as one tar file of an OCI layout. The same image gives the same bytes. */
export async function writeArchive(path: string, image: Image, tags: readonly string[]): Promise<void> {
  await mkdir(dirname(resolve(path)), { recursive: true });
  const digest = await existingDigest(path);
  await using file = await AtomicFile.create(path, { force: digest !== undefined });
  for await (const chunk of archiveStream(image, tags)) await file.handle.writeFile(chunk);
  // The same image again is fine, anything else would be lost.
  if (digest !== undefined && digest !== (await sha256File(file.temporaryPath))) {
    throw new Error(`${path} exists already and holds something else: remove it, or name another file`);
  }
  await file.commit();
}

async function existingDigest(path: string): Promise<string | undefined> {
  const existing = await stat(path).catch(() => undefined);
  return existing?.isFile() ? sha256File(path) : undefined;
}

async function* archiveStream(image: Image, tags: readonly string[]): AsyncGenerator<Uint8Array> {
  const folder = (name: string) => tarHeader({ name, type: 'directory', mode: 0o755, time: 0, size: 0 });
  const file = (name: string, size: number) => tarHeader({ name, type: 'file', mode: 0o644, time: 0, size });
  const blobName = ({ digest }: Descriptor) => `blobs/${digest.replace(':', '/')}`;
  yield await folder('blobs/');
  yield await folder('blobs/sha256/');
  const small = [
    ['oci-layout', LAYOUT],
    ['index.json', indexBytes(taggedEntries(image, tags))],
    ...[image.config, image.manifest].map(({ descriptor, bytes }) => [blobName(descriptor), bytes] as const),
  ] as const;
  for (const [name, bytes] of small) yield* [await file(name, bytes.length), bytes, tarPadding(bytes.length)];
  const { descriptor, path } = image.layer;
  yield await file(blobName(descriptor), descriptor.size);
  yield* fileBlob(descriptor, path).read(0, descriptor.size);
  yield* [tarPadding(descriptor.size), TAR_END];
}
