import { type Extent, ExtentCursor, ExtentList, type Image, roundUp } from './image.ts';

/** Neighbouring clusters `start` to `end` (exclusive) that hold data; all others of the image are zero. */
export interface ClusterRun {
  readonly start: number;
  readonly end: number;
}

/** The clusters of `clusterSize` bytes that any extent but zeros touches, as few runs as possible, in order. */
export function allocatedRuns(image: Image, clusterSize: number): ClusterRun[] {
  const runs: { start: number; end: number }[] = [];
  let position = 0;
  for (const { kind, length } of image.extents) {
    if (kind !== 'zeros') {
      const start = Math.floor(position / clusterSize);
      const end = Math.ceil((position + length) / clusterSize);
      const last = runs.at(-1);
      if (last && start <= last.end) last.end = end;
      else runs.push({ start, end });
    }
    position += length;
  }
  return runs;
}

export function countClusters(runs: readonly ClusterRun[]): number {
  return runs.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** The allocated clusters packed one after another, the last one filled up with zeros: what follows a format's tables. */
export function packRuns(image: Image, runs: readonly ClusterRun[], clusterSize: number): Extent[] {
  const cursor = new ExtentCursor(image);
  const list = new ExtentList();
  for (const { start, end } of runs) {
    cursor.skip(start * clusterSize - cursor.position);
    list.append(cursor.take((end - start) * clusterSize));
    list.padTo(roundUp(list.size, clusterSize));
  }
  return [...list.image().extents];
}
