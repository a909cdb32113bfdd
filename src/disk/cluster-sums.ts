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

/**
 * Reads the windows with these indices and sums them up. What follows a shorter window counts as zeros.
 *
 * @param look is shown the bytes of each window, in order
 */
export async function sumWindows(
  image: Image,
  windows: readonly number[],
  advance: Advance,
  look: (bytes: Uint8Array) => void = () => {},
): Promise<ClusterSums[]> {
  const wanted = new Set(windows);
  const buffer = Buffer.allocUnsafeSlow(WINDOW_SIZE);
  const results: ClusterSums[] = [];
  for (const { window, pieces, length } of piecesByWindow(image)) {
    if (!wanted.has(window)) continue;
    await readExtents(pieces, buffer.subarray(0, length));
    look(buffer.subarray(0, length));
    buffer.fill(0, length);
    results.push({ window, sums: clusterSums(buffer) });
    await advance(length);
  }
  return results;
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
