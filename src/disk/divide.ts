import type { DigestStart } from './copy-part.ts';
import type { Image } from './image.ts';
import { commonBeginning } from './schedule.ts';

/** A common beginning that is shorter isn't worth a shared state. */
const WORTH_SHARING = 1024 * 1024;
/** What hashing a byte takes, and reading it once more, if writing it takes 1; about, on processors with SHA instructions. */
const HASH_COST = 3;
const READ_COST = 0.4;

/** What a thread does for one image. */
export interface Share {
  /** Index of the image. */
  readonly index: number;
  readonly write: boolean;
  readonly digest: DigestStart | undefined;
}

/** An image, and what is to be done. */
export interface Work {
  readonly image: Image;
  /** How many bytes are to be written; undefined if it is only hashed. */
  readonly written: number | undefined;
}

/**
 * Divides the work of several images evenly among threads. Images with a common beginning hash it once, in one thread.
 * An image is hashed and written in the same thread, so that it is read once, unless that would keep others waiting.
 */
export function divide(works: readonly Work[], options: { digest: boolean; threads: number }): Share[][] {
  const loads: number[] = Array.from({ length: options.threads }, () => 0);
  const hashedBy = new Map<number, number>();
  const digests = options.digest ? works.map(({ image }, i) => longestBeginning(image, works.slice(0, i))) : [];
  for (const { members, cost } of hashGroups(works, digests)) {
    const thread = loads.indexOf(Math.min(...loads));
    loads[thread] = (loads[thread] ?? 0) + cost;
    for (const index of members) hashedBy.set(index, thread);
  }
  const writtenBy = new Map<number, number>();
  const toWrite = works.flatMap(({ written }, index) => (written === undefined ? [] : [{ index, written }]));
  for (const { index, written } of toWrite.sort((a, b) => b.written - a.written)) {
    const least = Math.min(...loads);
    const own = hashedBy.get(index);
    const thread = own !== undefined && (loads[own] ?? 0) <= least + READ_COST * written ? own : loads.indexOf(least);
    loads[thread] = (loads[thread] ?? 0) + written * (thread === own ? 1 : 1 + READ_COST);
    writtenBy.set(index, thread);
  }
  return loads.map((_, thread) =>
    works.flatMap((_, index) => {
      const write = writtenBy.get(index) === thread;
      const digest = hashedBy.get(index) === thread ? digests[index] : undefined;
      return write || digest ? [{ index, write, digest }] : [];
    }),
  );
}

/** Images whose digests share a state, with what hashing them costs; the largest first. */
function hashGroups(works: readonly Work[], digests: readonly DigestStart[]): { members: number[]; cost: number }[] {
  const groups = new Map<number, { members: number[]; cost: number }>();
  const groupOf: number[] = [];
  digests.forEach(({ from, start }, index) => {
    const first = from === undefined ? index : (groupOf[from] ?? index);
    groupOf.push(first);
    const group = groups.get(first) ?? { members: [], cost: 0 };
    groups.set(first, group);
    group.members.push(index);
    group.cost += HASH_COST * ((works[index]?.image.size ?? 0) - start);
  });
  return [...groups.values()].sort((a, b) => b.cost - a.cost);
}

function longestBeginning(image: Image, earlier: readonly Work[]): DigestStart {
  let best: DigestStart = { from: undefined, start: 0 };
  earlier.forEach((other, from) => {
    const start = commonBeginning(image, other.image);
    if (start >= WORTH_SHARING && start > best.start) best = { from, start };
  });
  return best;
}
