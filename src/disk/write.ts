import { constants, stat, statfs } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { AtomicFile, type AtomicFileOptions } from '../io/atomic-file.ts';
import { hasCode } from '../io/errors.ts';
import { noProgress, type Progress } from '../io/progress.ts';
import { FileReader, type Reader } from '../io/reader.ts';
import { formatSize } from '../io/sizes.ts';
import { copyImages, type Target } from './copy.ts';
import { type Image, requiredSpace } from './image.ts';

/** An image and the file that it becomes; without a path it is only hashed. */
export interface ImageOutput {
  readonly image: Image;
  readonly path?: string;
  /** Looks at the complete file before it gets its name; what it throws makes the whole writing fail. */
  readonly verify?: (temporaryPath: string) => Promise<void>;
}

/** A file that was written. */
export interface WrittenFile {
  /** Empty if the image was only hashed. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** Lower-case hex; empty if no digest was made. */
  readonly sha256: string;
}

export interface WriteOptions {
  /** Replace existing files. */
  readonly force?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress?: Progress;
  /** `false` leaves the SHA-256 out. */
  readonly digest?: boolean;
}

/** Writes one image; see `writeImages`. */
export async function writeImage(image: Image, path: string, options: WriteOptions = {}): Promise<WrittenFile> {
  const [written] = await writeImages([{ image, path }], options);
  return written ?? { path, size: image.size, sha256: '' };
}

/**
 * Writes several images at once: what they share is read once, every digest is computed while writing, zeros become
 * holes, and a file system that can clone files is asked to. The files get their names when all of them are complete;
 * after an error or an interruption none does.
 *
 * @throws Error if a file exists and `force` isn't set, if the disk is full, or if something can't be read
 */
export async function writeImages(
  outputs: readonly ImageOutput[],
  options: WriteOptions = {},
): Promise<readonly WrittenFile[]> {
  const { force = false, signal, progress = noProgress, digest = true } = options;
  const files: AtomicFile[] = [];
  try {
    const targets: Target[] = [];
    const checks: (() => Promise<void>)[] = [];
    for (const { image, path, verify } of outputs) {
      signal?.throwIfAborted();
      if (path === undefined) {
        targets.push({ image });
        continue;
      }
      const file = await AtomicFile.create(path, { force, copyOf: await beginning(image) });
      files.push(file);
      await file.handle.truncate(image.size);
      targets.push({ image, handle: file.handle, holdsSource: file.isCopy });
      if (verify) checks.push(() => verify(file.temporaryPath));
    }
    const digests = await copyImages(targets, { digest, signal, progress });
    for (const check of checks) await check();
    for (const file of files) await file.commit();
    return outputs.map(({ image, path = '' }, i) => ({ path, size: image.size, sha256: digests[i] ?? '' }));
  } catch (error) {
    throw explainFullDisk(error, outputs);
  } finally {
    for (const file of files) await file[Symbol.asyncDispose]();
  }
}

/** The SHA-256 of several images in one pass, without writing anything; lower-case hex. */
export async function digestImages(
  images: readonly Image[],
  options: Pick<WriteOptions, 'signal' | 'progress'> = {},
): Promise<readonly string[]> {
  const hashed = await writeImages(
    images.map((image) => ({ image })),
    options,
  );
  return hashed.map(({ sha256 }) => sha256);
}

/**
 * Checks early that images fit on the disk of a folder, which need not exist yet.
 *
 * @throws Error with the bytes that are needed and those that are free
 */
export async function assertSpace(folder: string, images: readonly Image[]): Promise<void> {
  const needed = images.reduce((sum, image) => sum + requiredSpace(image), 0);
  const free = await freeSpace(resolve(folder));
  if (free < needed) {
    throw new Error(
      `${folder} needs ${formatSize(needed)} of free disk space, but has ${formatSize(free)}: make room, or choose another "output-dir"`,
    );
  }
}

/** Bytes that a user may still write on the disk of a folder, or of the nearest one above that exists. */
async function freeSpace(folder: string): Promise<number> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch (error) {
    if (!hasCode(error, 'ENOENT') || dirname(folder) === folder) throw error;
    return freeSpace(dirname(folder));
  }
}

/** The file that an image is a variant of: every range of it stays where it is, and zeros only follow its end. */
function wholeFileBehind({ extents }: Image): FileReader | undefined {
  let source: Reader | undefined;
  let position = 0;
  for (const [i, extent] of extents.entries()) {
    if (extent.kind === 'zeros' && i < extents.length - 1) return undefined;
    if (extent.kind === 'range') {
      if (extent.offset !== position || (source !== undefined && extent.source !== source)) return undefined;
      source = extent.source;
    }
    position += extent.length;
  }
  return source instanceof FileReader && source.size <= position ? source : undefined;
}

/** The file that an output begins as a clone of, which shares its blocks, where the file system can do that. */
async function beginning(image: Image): Promise<AtomicFileOptions['copyOf']> {
  const source = wholeFileBehind(image);
  if (!source) return undefined;
  const [now, opened] = await Promise.all([stat(source.path).catch(() => undefined), source.handle.stat()]);
  if (now?.ino !== opened.ino || now.dev !== opened.dev) return undefined;
  return { path: source.path, flags: constants.COPYFILE_FICLONE_FORCE };
}

/** An error as it is, or a sentence where the disk is full. */
export function explainFullDisk(error: unknown, outputs: readonly ImageOutput[]): unknown {
  if (!hasCode(error, 'ENOSPC', 'EDQUOT')) return error;
  const needed = outputs.reduce((sum, { image }) => sum + requiredSpace(image), 0);
  const names = outputs.flatMap(({ path }) => path ?? []).join(', ');
  return new Error(
    `the disk is full: writing ${names} takes ${formatSize(needed)}; make room, or write to another disk. Nothing unfinished was kept`,
    { cause: error },
  );
}
