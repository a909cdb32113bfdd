import { SpentBuffers } from '../io/spent-buffers.ts';
import { runInThread } from '../io/threads.ts';
import { type Compression, encodeBlock } from './block-encoder.ts';
import { type Slot, slotsOf, slotsSize } from './slots.ts';

/** Up to so many blocks are compressed here, where starting threads would take longer. */
const FEW_BLOCKS = 2;
/** Slots for each thread, so that none waits for the oldest result to be written. */
const PER_THREAD = 2;
/** Slots for the block that is filled, and the one that is written. */
const AROUND = 2;

/** A block on its way. */
export interface Encoding {
  readonly slot: Slot;
  /** Lies in the slot, too. */
  readonly result: Promise<Buffer>;
  readonly done: boolean;
}

interface Job extends Encoding {
  readonly length: number;
  done: boolean;
  settle(result: Buffer | Error): void;
}

/** What a thread is given; without `slot` it only gets ready. */
export interface EncodeTask {
  readonly compression: Compression;
  /** Holds blocks and results, see `slots.ts`. */
  readonly memory: SharedArrayBuffer;
  readonly slot?: number;
  /** Bytes of the block. */
  readonly length: number;
}

const spent = new SpentBuffers();

/** Compresses the block of a slot in a thread; resolves to the length of the result, in bytes. */
export async function encodeSlot({ compression, memory, slot, length }: EncodeTask): Promise<number> {
  const { block, result } = slotsOf(memory)[slot ?? -1] ?? {};
  if (!block || !result) return 0;
  spent.add(length);
  return encodeBlock(block.subarray(0, length), compression, result).length;
}

/**
 * A few slots of shared memory and threads that compress what is in them. The threads are started when it is worth
 * while, and until they are ready, or where they don't keep up, the caller helps.
 */
export class EncoderPool implements AsyncDisposable {
  readonly #compression: Compression;
  readonly #memory: SharedArrayBuffer;
  readonly #free: Slot[];
  readonly #size: number;
  /** Blocks that no thread has yet. */
  readonly #queue: Job[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #count = 0;
  /** Threads that are ready and have nothing to do. */
  #idle = 0;

  /** @param threads at most; none means that all is done by `help` */
  constructor(compression: Compression, threads: number) {
    this.#compression = compression;
    this.#size = threads;
    this.#memory = new SharedArrayBuffer(slotsSize(threads * PER_THREAD + AROUND));
    this.#free = slotsOf(this.#memory);
  }

  get hasFree(): boolean {
    return this.#free.length > 0;
  }

  /** A slot to fill; there must be a free one. */
  take(): Slot {
    const slot = this.#free.pop();
    if (!slot) throw new Error('all blocks are in use');
    return slot;
  }

  /** Gives a slot back whose result was used. */
  release(slot: Slot): void {
    this.#free.push(slot);
  }

  /** Has the first `length` bytes of a slot compressed. */
  encode(slot: Slot, length: number): Encoding {
    const job = newJob(slot, length);
    this.#queue.push(job);
    if (++this.#count === FEW_BLOCKS + 1) {
      for (let thread = 0; thread < this.#size; thread++) this.#run({ length: 0 }, () => {});
    }
    this.#dispatch();
    return job;
  }

  /** Compresses a block in the calling thread, if there is one that no other has. */
  help(): void {
    const job = this.#queue.shift();
    if (!job) return;
    try {
      job.settle(encodeBlock(job.slot.block.subarray(0, job.length), this.#compression, job.slot.result));
    } catch (error) {
      job.settle(error as Error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running);
  }

  #dispatch(): void {
    while (this.#idle > 0) {
      const job = this.#queue.shift();
      if (!job) return;
      this.#idle--;
      this.#run({ slot: job.slot.index, length: job.length }, (result) => {
        job.settle(typeof result === 'number' ? job.slot.result.subarray(0, result) : result);
      });
    }
  }

  /** Has a thread do something; it is idle afterwards. */
  #run(task: Pick<EncodeTask, 'slot' | 'length'>, settle: (result: number | Error) => void): void {
    const input: EncodeTask = { compression: this.#compression, memory: this.#memory, ...task };
    const run = runInThread({ work: 'compress', input }, { signal: this.#stop.signal }).then(
      (length) => settle(length as number),
      (error: Error) => settle(error),
    );
    this.#running.add(run);
    void run.then(() => {
      this.#running.delete(run);
      this.#idle++;
      if (!this.#stop.signal.aborted) this.#dispatch();
    });
  }
}

function newJob(slot: Slot, length: number): Job {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  // Failures surface where the result is awaited, in its turn.
  promise.catch(() => {});
  const job: Job = {
    slot,
    length,
    result: promise,
    done: false,
    settle(result) {
      job.done = true;
      if (result instanceof Error) reject(result);
      else resolve(result);
    },
  };
  return job;
}
