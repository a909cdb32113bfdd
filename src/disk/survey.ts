import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { noProgress, type Progress } from '../io/progress.ts';
import type { Reader } from '../io/reader.ts';
import { KiB, MiB } from '../io/sizes.ts';
import { type Extent, ExtentCursor, ExtentList, type Image, readExtents } from './image.ts';

/** Zeros are found, and contents summed up, in clusters of this size: QCOW2's. */
const CLUSTER_SIZE = 64 * KiB;
/** What is read at once, and remembered together. */
const WINDOW_SIZE = MiB;
const CLUSTERS_PER_WINDOW = WINDOW_SIZE / CLUSTER_SIZE;
const READS_AT_ONCE = 3;
const ZERO_CLUSTER = Buffer.alloc(CLUSTER_SIZE);

/**
 * An image whose contents are known well enough to lay a format over it: clusters of zeros are zero extents, and
 * `identity` stands for the bytes. Equal bytes have the same identity wherever they come from; growing keeps it.
 */
export interface SurveyedImage extends Image {
  /** Lower-case hex. */
  readonly identity: string;
  /** What was learnt about each window that isn't all zero, by its index. */
  readonly windows: ReadonlyMap<number, Window>;
}

interface Window {
  /** CRC-32 of each cluster, 0 where it is zero. */
  readonly sums: Uint32Array;
  /** Where the whole window lies in one piece, if it does. */
  readonly origin: { readonly source: Reader; readonly offset: number; readonly length: number } | undefined;
}

/**
 * Reads an image once to find its zeros and its identity; that is several times as fast as a SHA-256. Of a variant of an
 * image that was surveyed before, only what differs is read.
 *
 * @param options.known a survey of the image without the patches
 */
export async function surveyImage(
  image: Image,
  options: { known?: SurveyedImage; signal?: AbortSignal | undefined; progress?: Progress } = {},
): Promise<SurveyedImage> {
  const { known, signal, progress = noProgress } = options;
  const windows = new Map<number, Window>();
  const pending = piecesByWindow(image);
  async function work(): Promise<void> {
    const buffer = Buffer.allocUnsafeSlow(WINDOW_SIZE);
    for (const { index, pieces } of pending) {
      signal?.throwIfAborted();
      const origin = originOf(pieces);
      const before = known?.windows.get(index);
      const window = before && sameOrigin(before.origin, origin) ? before : await readWindow(pieces, origin, buffer);
      if (window.sums.some((sum) => sum !== 0)) windows.set(index, window);
      progress.advance(lengthOf(pieces));
    }
  }
  await Promise.all(Array.from({ length: READS_AT_ONCE }, work));
  return { ...withoutZeros(image, windows), identity: identityOf(windows), windows };
}

/** The windows that hold anything but zero extents, with what fills them. */
function* piecesByWindow(image: Image): Generator<{ index: number; pieces: Extent[] }> {
  const cursor = new ExtentCursor(image);
  while (cursor.position < image.size) {
    const index = cursor.position / WINDOW_SIZE;
    const zeroWindows = Math.floor(cursor.zerosAhead / WINDOW_SIZE);
    if (zeroWindows > 0) cursor.next(zeroWindows * WINDOW_SIZE);
    else {
      const pieces = [...cursor.take(WINDOW_SIZE)];
      if (pieces.some(({ kind }) => kind !== 'zeros')) yield { index, pieces };
    }
  }
}

function originOf([piece, ...others]: readonly Extent[]): Window['origin'] {
  return piece?.kind === 'range' && others.length === 0 ? piece : undefined;
}

function sameOrigin(a: Window['origin'], b: Window['origin']): boolean {
  return a !== undefined && a.source === b?.source && a.offset === b.offset && a.length === b.length;
}

function lengthOf(pieces: readonly Extent[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Sums up a window; what follows a shorter one counts as zeros, so that growing the image changes nothing. */
async function readWindow(pieces: readonly Extent[], origin: Window['origin'], buffer: Buffer): Promise<Window> {
  const length = lengthOf(pieces);
  await readExtents(pieces, buffer.subarray(0, length));
  buffer.fill(0, length);
  const sums = new Uint32Array(CLUSTERS_PER_WINDOW);
  for (let i = 0; i < sums.length; i++) {
    const cluster = buffer.subarray(i * CLUSTER_SIZE, (i + 1) * CLUSTER_SIZE);
    // 0 is kept for zeros; a CRC that happens to be 0 becomes 1.
    if (!ZERO_CLUSTER.equals(cluster)) sums[i] = crc32(cluster) || 1;
  }
  return { sums, origin };
}

function withoutZeros(image: Image, windows: ReadonlyMap<number, Window>): Image {
  const cursor = new ExtentCursor(image);
  const list = new ExtentList();
  for (const [index, { sums }] of inOrder(windows)) {
    list.padTo(index * WINDOW_SIZE);
    cursor.skip(index * WINDOW_SIZE - cursor.position);
    for (const sum of sums) {
      if (sum !== 0) list.append(cursor.take(CLUSTER_SIZE));
      else {
        cursor.skip(CLUSTER_SIZE);
        list.padTo(cursor.position);
      }
    }
  }
  list.padTo(image.size);
  return list.image();
}

function identityOf(windows: ReadonlyMap<number, Window>): string {
  const hash = createHash('sha256');
  const record = Buffer.alloc(8 + 4 * CLUSTERS_PER_WINDOW);
  for (const [index, { sums }] of inOrder(windows)) {
    record.writeDoubleLE(index);
    sums.forEach((sum, i) => {
      record.writeUInt32LE(sum, 8 + 4 * i);
    });
    hash.update(record);
  }
  return hash.digest('hex');
}

function inOrder(windows: ReadonlyMap<number, Window>): [number, Window][] {
  return [...windows].sort(([a], [b]) => a - b);
}
