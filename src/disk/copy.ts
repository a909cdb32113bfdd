import type { FileHandle } from 'node:fs/promises';
import type { Progress } from '../io/progress.ts';
import { MiB } from '../io/sizes.ts';
import { ChunkRing, type Slot } from './chunk-ring.ts';
import { type DigestPlan, planDigests } from './digest-plan.ts';
import { DigestPool } from './digest-pool.ts';
import type { Image } from './image.ts';
import { type Step, schedule } from './schedule.ts';

const CHUNK_SIZE = MiB;
const SLOTS = 8;
/** So many steps are prepared, and their chunks being read, before the first of them is written. */
const READ_AHEAD = 4;
/** Zeros are only hashed; this much at once. */
const ZERO_PIECE = 16 * MiB;
/** So many batches for the digest threads may be on their way. */
const BATCHES_IN_FLIGHT = 8;

/** Where an image goes. */
export interface Target {
  readonly image: Image;
  /** An open file that is as long as the image, zero except where `hasAlready` says so; none if only the digest is wanted. */
  readonly handle?: FileHandle | undefined;
  /** Ranges of sources that are in their place before. */
  readonly inPlace?: boolean;
}

export interface CopyOptions {
  readonly digest: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly progress: Progress;
}

/**
 * Writes and hashes images in one pass over what is behind them.
 *
 * @returns the SHA-256 of each in lower-case hex, or empty strings without `digest`
 */
export async function copyImages(targets: readonly Target[], options: CopyOptions): Promise<string[]> {
  const images = targets.map(({ image }) => image);
  const bytes = images.reduce((sum, { size }) => sum + size, 0);
  options.progress.total(bytes);
  const threads = options.digest ? DigestPool.threadsFor(images.length, bytes) : 0;
  const ring = new ChunkRing(SLOTS, CHUNK_SIZE);
  await using digests = options.digest ? new Digests(ring, planDigests(images, threads), threads) : undefined;
  const copy = new Copy(targets, ring, digests);
  try {
    await copy.run(options);
  } finally {
    await copy.settled();
  }
  if (!digests) return images.map(() => '');
  // Awaited here, because leaving the scope ends the threads.
  return await Promise.all(images.map((_, i) => digests.result(i)));
}

/** A step with the slot that its bytes are, or will be, in. */
interface PreparedStep {
  readonly step: Step;
  readonly slot: Slot | undefined;
  /** Where the bytes are in the slot. */
  readonly from: number;
}

class Copy {
  readonly #targets: readonly Target[];
  readonly #ring: ChunkRing;
  readonly #digests: Digests | undefined;
  readonly #writes = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(targets: readonly Target[], ring: ChunkRing, digests: Digests | undefined) {
    this.#targets = targets;
    this.#ring = ring;
    this.#digests = digests;
  }

  async run({ signal, progress }: CopyOptions): Promise<void> {
    const images = this.#targets.map(({ image }) => image);
    const queue: PreparedStep[] = [];
    const next = async () => {
      signal?.throwIfAborted();
      const prepared = queue.shift();
      if (!prepared) return;
      await this.#execute(prepared);
      progress.advance(prepared.step.piece.length);
    };
    for (const step of schedule(images, CHUNK_SIZE, ZERO_PIECE)) {
      if (queue.length >= READ_AHEAD) await next();
      queue.push(await this.#prepare(step));
    }
    while (queue.length > 0) await next();
    await this.#digests?.flush();
    await this.settled();
    if (this.#failure) throw this.#failure.error;
  }

  /** Waits for what was started. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writes);
    await this.#digests?.settled();
  }

  async #prepare(step: Step): Promise<PreparedStep> {
    const { piece } = step;
    if (piece.kind === 'zeros' || !(this.#digests || this.#mustWrite(step))) return { step, slot: undefined, from: 0 };
    if (piece.kind === 'bytes') return { step, slot: await this.#ring.copyOf(piece.bytes), from: 0 };
    const slot = await this.#ring.chunk(piece.source, Math.floor(piece.offset / CHUNK_SIZE));
    return { step, slot, from: piece.offset % CHUNK_SIZE };
  }

  async #execute({ step, slot, from }: PreparedStep): Promise<void> {
    await slot?.ready;
    if (this.#failure) throw this.#failure.error;
    await this.#digests?.add(step, slot, from);
    if (!slot) return;
    const { handle } = this.#targets[step.output] ?? {};
    if (!handle || !this.#mustWrite(step)) return this.#ring.release(slot);
    const write = writeFully(handle, slot.bytes.subarray(from, from + step.piece.length), step.position)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#ring.release(slot);
        this.#writes.delete(write);
      });
    this.#writes.add(write);
  }

  #mustWrite({ output, piece, position }: Step): boolean {
    const target = this.#targets[output];
    if (!target?.handle || piece.kind === 'zeros') return false;
    return !(target.inPlace && piece.kind === 'range' && piece.offset === position);
  }
}

async function writeFully(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** The digests of all outputs, fed step by step. */
class Digests implements AsyncDisposable {
  readonly #ring: ChunkRing;
  readonly #plan: readonly DigestPlan[];
  readonly #pool: DigestPool;
  readonly #flushes = new Set<Promise<void>>();
  /** Slots whose bytes were collected for the next flush. */
  #slots: Slot[] = [];

  constructor(ring: ChunkRing, plan: readonly DigestPlan[], threads: number) {
    this.#ring = ring;
    this.#plan = plan;
    this.#pool = new DigestPool(ring.memory, threads);
    plan.forEach(({ thread }, i) => {
      this.#pool.assign(i, thread);
    });
  }

  /** Collects a step; those of one slot are sent together. */
  async add({ output, position, piece }: Step, slot: Slot | undefined, from: number): Promise<void> {
    if (slot !== this.#slots[0] || !slot) await this.flush();
    if (slot) {
      slot.users++;
      this.#slots.push(slot);
    }
    // What lies before `start` is hashed by the image that this one shares it with.
    let done = Math.max(0, Math.min(piece.length, (this.#plan[output]?.start ?? 0) - position));
    for (const [id, stop] of this.#forksAfter(output, position + done, position + piece.length)) {
      const until = stop - position;
      this.#hash(output, slot, from + done, until - done);
      this.#pool.fork(id, output);
      done = until;
    }
    this.#hash(output, slot, from + done, piece.length - done);
  }

  async flush(): Promise<void> {
    const slots = this.#slots;
    this.#slots = [];
    const flush = this.#pool.flush().finally(() => {
      for (const slot of slots) this.#ring.release(slot);
      this.#flushes.delete(flush);
    });
    this.#flushes.add(flush);
    flush.catch(() => {});
    if (this.#flushes.size >= BATCHES_IN_FLIGHT) await Promise.race(this.#flushes);
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#flushes);
  }

  async result(output: number): Promise<string> {
    return this.#pool.digest(output);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }

  /** The images that go on from this one's state somewhere in (`after`, `until`], in order. */
  #forksAfter(output: number, after: number, until: number): [id: number, stop: number][] {
    const forks: [number, number][] = [];
    this.#plan.forEach(({ from, start }, id) => {
      if (from === output && start > after && start <= until) forks.push([id, start]);
    });
    return forks.sort(([, a], [, b]) => a - b);
  }

  #hash(id: number, slot: Slot | undefined, from: number, length: number): void {
    if (length === 0) return;
    if (slot) this.#pool.update(id, slot.start + from, length);
    else this.#pool.zeros(id, length);
  }
}
