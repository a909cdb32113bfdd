import type { FileHandle } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Progress } from '../io/progress.ts';
import type { OpenFile } from '../io/reader.ts';
import { WORTH_A_THREAD } from '../io/threads.ts';
import { copyPart, type Part } from './copy-part.ts';
import { divide, type Share } from './divide.ts';
import { type Extent, type Image, requiredSpace } from './image.ts';
import { forThread, performAll, withPauses } from './tasks.ts';

/** Where an image goes. */
export interface Target {
  readonly image: Image;
  /** An open file that is as long as the image, and zero unless it holds the source; none if only the digest is wanted. */
  readonly handle?: FileHandle | undefined;
  /** The file began as a copy of the one that the image is a variant of. */
  readonly holdsSource?: boolean;
}

export interface CopyOptions {
  readonly digest: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress: Progress;
}

/**
 * Writes and hashes images in one pass over what is behind them, on all cores.
 *
 * @returns the SHA-256 of each in lower-case hex, or empty strings without `digest`
 */
export async function copyImages(targets: readonly Target[], options: CopyOptions): Promise<string[]> {
  const { digest, signal, progress } = options;
  const works = targets.map((target) => ({ image: target.image, isWritten: writes(target) }));
  const bytes = targets.reduce((sum, { image }) => sum + (digest ? image.size : requiredSpace(image)), 0);
  progress.total(bytes);
  const images = targets.map(({ image }) => image);
  const cloned = bytes < WORTH_A_THREAD ? undefined : allForThreads(images);
  const shares = divide(works, { digest, threads: cloned ? availableParallelism() : 1 });
  const threadOptions = { signal, advance: (done: number) => progress.advance(done) };
  const digests = cloned
    ? await performAll(
        partsOf(targets, cloned, shares).map((part) => ({
          kind: 'copy' as const,
          part,
          counts: !digest || hashes(part),
        })),
        threadOptions,
      )
    : await Promise.all(
        partsOf(targets, images, shares).map((part) => withPauses(threadOptions, (advance) => copyPart(part, advance))),
      );
  const found = new Map(digests.flat());
  return targets.map((_, index) => found.get(index) ?? '');
}

/** Bytes count as done when they are hashed; a part that only writes what others hash would count them again. */
function hashes(part: Part<OpenFile>): boolean {
  return part.some((output) => output.digest !== undefined);
}

/** The images for other threads; undefined if anything of them lies in no file. */
function allForThreads(images: readonly Image[]): Image<OpenFile>[] | undefined {
  const cloned = images.map(forThread).filter((image) => image !== undefined);
  return cloned.length === images.length ? cloned : undefined;
}

/** Tells which extents have to be written to the file of a target. */
function writes({ handle, holdsSource }: Target): (extent: Extent) => boolean {
  return ({ kind }) => handle !== undefined && (kind === 'bytes' || (kind === 'range' && !holdsSource));
}

function partsOf<Source>(
  targets: readonly Target[],
  images: readonly Image<Source>[],
  shares: readonly (readonly Share[])[],
): Part<Source>[] {
  const used = shares.filter((share) => share.length > 0);
  return used.map((share) =>
    share.flatMap(({ index, write, digest }) => {
      const { handle, holdsSource = false } = targets[index] ?? {};
      const image = images[index];
      const file = write && handle && { ...write, fd: handle.fd, holdsSource };
      return image ? [{ index, image, file, digest }] : [];
    }),
  );
}
