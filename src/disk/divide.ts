import { MiB } from '../io/sizes.ts';
import type { DigestStart, WriteRange } from './copy-part.ts';
import type { Extent, Image } from './image.ts';
import { commonBeginning } from './schedule.ts';

/** A common beginning that is shorter isn't worth a shared state. */
const WORTH_SHARING = MiB;
/** What one thread writes of an image isn't cut smaller than this. */
const WORTH_CUTTING = 8 * MiB;
/** What hashing a byte takes, and reading it once more, if writing it takes 1; about, on processors with SHA instructions. */
const HASH_COST = 3;
const READ_COST = 0.4;
/** What could be written while a thread starts. */
const START_COST = 96 * MiB;

/** What a thread does for one image. */
export interface Share {
  /** Index of the image. */
  readonly index: number;
  readonly write: WriteRange | undefined;
  readonly digest: DigestStart | undefined;
}

/** An image, and which of its extents are to be written. */
export interface Work {
  readonly image: Image;
  readonly isWritten: (extent: Extent) => boolean;
}

/**
 * Divides the work of several images evenly among threads. Images with a common beginning hash it once, in one thread. An
 * image is written by the thread that hashes it, which has its bytes at hand, except for what others have more time for.
 *
 * @returns the shares of each thread, in the order of the images; the first thread is the one that runs already
 */
export function divide(works: readonly Work[], options: { digest: boolean; threads: number }): Share[][] {
  const threads = Array.from({ length: options.threads }, (_, i) => new Thread(i === 0 ? 0 : START_COST));
  const digests = options.digest ? works.map(({ image }, i) => longestBeginning(image, works.slice(0, i))) : [];
  for (const { members, bytes } of hashGroups(works, digests)) {
    leastBusy(threads).hash(members, bytes);
  }
  const written = works.map(writtenBytes);
  const total = sum(threads.map(({ load }) => load)) + sum(written);
  written.forEach((bytes, index) => {
    for (const { thread, from, to } of divideWrites(bytes, index, threads, total / threads.length)) {
      const work = works[index];
      if (work) thread.writes.set(index, { from: positionOf(work, from), to: positionOf(work, to) });
    }
  });
  return threads.map(({ hashes, writes }) =>
    works.flatMap((_, index) => {
      const digest = hashes.has(index) ? digests[index] : undefined;
      const write = writes.get(index);
      return write || digest ? [{ index, write, digest }] : [];
    }),
  );
}

/** What a thread has been given. */
class Thread {
  load: number;
  readonly hashes = new Set<number>();
  readonly writes = new Map<number, WriteRange>();

  constructor(load: number) {
    this.load = load;
  }

  hash(images: readonly number[], bytes: number): void {
    this.load += HASH_COST * bytes;
    for (const index of images) this.hashes.add(index);
  }
}

/** Cuts the bytes that an image writes into pieces for threads that have time left. */
function divideWrites(bytes: number, index: number, threads: readonly Thread[], fairLoad: number) {
  const pieces: { thread: Thread; from: number; to: number }[] = [];
  const isOwn = (thread: Thread) => Number(thread.hashes.has(index));
  const candidates = [...threads].sort((a, b) => isOwn(b) - isOwn(a) || a.load - b.load);
  for (let from = 0; from < bytes; ) {
    const thread = candidates.shift() ?? leastBusy(threads);
    const isLast = candidates.length === 0;
    const left = bytes - from;
    const fitting = isLast ? left : Math.floor(Math.min(left, fairLoad - thread.load));
    if (fitting < Math.min(left, WORTH_CUTTING)) continue;
    const length = left - fitting < WORTH_CUTTING ? left : fitting;
    thread.load += length * (thread.hashes.has(index) ? 1 : 1 + READ_COST);
    pieces.push({ thread, from, to: from + length });
    from += length;
  }
  return pieces;
}

function leastBusy(threads: readonly Thread[]): Thread {
  return threads.reduce((least, thread) => (thread.load < least.load ? thread : least));
}

function writtenBytes({ image, isWritten }: Work): number {
  return sum(image.extents.map((extent) => (isWritten(extent) ? extent.length : 0)));
}

/** The position in the image before which so many bytes are written. */
function positionOf({ image, isWritten }: Work, bytes: number): number {
  let position = 0;
  let left = bytes;
  for (const extent of image.extents) {
    if (left === 0) break;
    const length = isWritten(extent) ? Math.min(left, extent.length) : 0;
    left -= length;
    position += left === 0 ? length : extent.length;
  }
  return position;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Images whose digests share a state, with the bytes that they hash; the largest first. */
function hashGroups(works: readonly Work[], digests: readonly DigestStart[]): { members: number[]; bytes: number }[] {
  const groups = new Map<number, { members: number[]; bytes: number }>();
  const groupOf: number[] = [];
  digests.forEach(({ from, start }, index) => {
    const first = from === undefined ? index : (groupOf[from] ?? index);
    groupOf.push(first);
    const group = groups.get(first) ?? { members: [], bytes: 0 };
    groups.set(first, group);
    group.members.push(index);
    group.bytes += (works[index]?.image.size ?? 0) - start;
  });
  return [...groups.values()].sort((a, b) => b.bytes - a.bytes);
}

function longestBeginning(image: Image, earlier: readonly Work[]): DigestStart {
  let best: DigestStart = { from: undefined, start: 0 };
  earlier.forEach((other, from) => {
    const start = commonBeginning(image, other.image);
    if (start >= WORTH_SHARING && start > best.start) best = { from, start };
  });
  return best;
}
