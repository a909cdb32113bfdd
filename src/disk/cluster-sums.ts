import { crc32 } from 'node:zlib';
import type { Advance } from '../io/progress.ts';
import { KiB, MiB } from '../io/sizes.ts';
import { type Extent, ExtentCursor, type Image, readExtents } from './image.ts';

/** Zeros are found, and contents summed up, in clusters of this size: QCOW2's. */
export const CLUSTER_SIZE = 64 * KiB;
/** What is read at once, and remembered together. */
export const WINDOW_SIZE = MiB;
export const CLUSTERS_PER_WINDOW = WINDOW_SIZE / CLUSTER_SIZE;
const ZERO_CLUSTER = Buffer.alloc(CLUSTER_SIZE);

/** The sums of a window: of each cluster a CRC-32, 0 where it is zero. */
export interface ClusterSums {
  /** Index of the window. */
  readonly window: number;
  readonly sums: Uint32Array;
}

/** The windows that hold anything but zero extents, with what fills them. */
export function* piecesByWindow(image: Image): Generator<{ window: number; pieces: Extent[]; length: number }> {
  const cursor = new ExtentCursor(image);
  while (cursor.position < image.size) {
    const window = cursor.position / WINDOW_SIZE;
    const zeroWindows = Math.floor(cursor.zerosAhead / WINDOW_SIZE);
    if (zeroWindows > 0) cursor.next(zeroWindows * WINDOW_SIZE);
    else {
      const pieces = [...cursor.take(WINDOW_SIZE)];
      const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      if (pieces.some(({ kind }) => kind !== 'zeros')) yield { window, pieces, length };
    }
  }
}

/** Windows that are to be summed up, by their indices, ascending. Threads that share one take turns. */
export interface WindowQueue {
  readonly windows: readonly number[];
  /** One number in shared memory: how many of the windows were taken. */
  readonly taken: Int32Array;
}

/** So many windows are taken at once. */
const TURN = 16;

export function windowQueue(windows: readonly number[]): WindowQueue {
  return { windows, taken: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) };
}

/**
 * Reads the windows of a queue and sums them up. What follows a shorter window counts as zeros.
 *
 * @param look is shown the bytes of each window, in order
 */
export async function sumWindows(
  image: Image,
  { windows, taken }: WindowQueue,
  advance: Advance,
  look: (bytes: Uint8Array) => void = () => {},
): Promise<ClusterSums[]> {
  const buffer = Buffer.allocUnsafeSlow(WINDOW_SIZE);
  const results: ClusterSums[] = [];
  const pieces = piecesByWindow(image);
  for (;;) {
    const turn = Atomics.add(taken, 0, TURN);
    if (turn >= windows.length) return results;
    for (const window of windows.slice(turn, turn + TURN)) {
      const filled = await fill(buffer, pieces, window);
      look(buffer.subarray(0, filled));
      results.push({ window, sums: clusterSums(buffer) });
      await advance(filled);
    }
  }
}

/** Goes on to a window and reads it; returns how much of the buffer it fills, with zeros behind. */
async function fill(buffer: Buffer, windows: ReturnType<typeof piecesByWindow>, window: number): Promise<number> {
  for (;;) {
    const { value, done } = windows.next();
    if (done) throw new Error(`the image has no window ${window}`);
    if (value.window !== window) continue;
    await readExtents(value.pieces, buffer.subarray(0, value.length));
    buffer.fill(0, value.length);
    return value.length;
  }
}

function clusterSums(bytes: Buffer): Uint32Array {
  const sums = new Uint32Array(CLUSTERS_PER_WINDOW);
  for (let i = 0; i < sums.length; i++) {
    const cluster = bytes.subarray(i * CLUSTER_SIZE, (i + 1) * CLUSTER_SIZE);
    // 0 is kept for zeros; a CRC that happens to be 0 becomes 1.
    if (!ZERO_CLUSTER.equals(cluster)) sums[i] = crc32(cluster) || 1;
  }
  return sums;
}
