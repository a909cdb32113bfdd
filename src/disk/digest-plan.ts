import type { Image } from './image.ts';
import { commonBeginning } from './schedule.ts';

/** A common beginning that is shorter isn't worth a shared state. */
const WORTH_SHARING = 1024 * 1024;

/** How the digest of one image is made. */
export interface DigestPlan {
  /** The earlier image whose state this one goes on from, if any. */
  readonly from: number | undefined;
  /** Where this image's own hashing starts: 0, or how much it has in common with `from`. */
  readonly start: number;
  /** Which thread has the state. */
  readonly thread: number;
}

/**
 * Plans the digests of several images: those with a common beginning hash it once, and the rest is spread evenly over
 * the threads.
 */
export function planDigests(images: readonly Image[], threads: number): DigestPlan[] {
  const shares = images.map((image, i) => longestBeginning(image, images.slice(0, i)));
  const groups: number[] = [];
  shares.forEach(({ from }, i) => {
    groups.push(from === undefined ? i : (groups[from] ?? i));
  });
  const work = new Map<number, number>();
  images.forEach((image, i) => {
    const group = groups[i] ?? i;
    work.set(group, (work.get(group) ?? 0) + image.size - (shares[i]?.start ?? 0));
  });
  const threadOf = spread(work, Math.max(1, threads));
  return shares.map(({ from, start }, i) => ({ from, start, thread: threadOf.get(groups[i] ?? i) ?? 0 }));
}

function longestBeginning(image: Image, earlier: readonly Image[]): { from: number | undefined; start: number } {
  let best: { from: number | undefined; start: number } = { from: undefined, start: 0 };
  earlier.forEach((other, from) => {
    const start = commonBeginning(image, other);
    if (start >= WORTH_SHARING && start > best.start) best = { from, start };
  });
  return best;
}

/** Gives the largest piece of work that is left to the thread with the least, over and over. */
function spread(work: ReadonlyMap<number, number>, threads: number): Map<number, number> {
  const loads: number[] = Array.from({ length: threads }, () => 0);
  const result = new Map<number, number>();
  for (const [group, bytes] of [...work].sort(([, a], [, b]) => b - a)) {
    const thread = loads.indexOf(Math.min(...loads));
    loads[thread] = (loads[thread] ?? 0) + bytes;
    result.set(group, thread);
  }
  return result;
}
