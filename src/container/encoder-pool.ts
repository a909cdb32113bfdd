import { Worker } from 'node:worker_threads';
import { type Compression, encodeBlock } from './block-encoder.ts';
import type { EncoderAnswer, EncoderData, EncoderRequest } from './encoder-worker.ts';
import { type Slot, slotsOf, slotsSize } from './slots.ts';

/** Up to so many blocks are compressed here, where starting threads would take longer. */
const FEW_BLOCKS = 2;
/** What a thread has at once: the block that it works on, and the next. */
const PER_THREAD = 2;
/** Slots for the block that is filled, and the one that is written. */
const AROUND = 2;

/** A block on its way. */
export interface Encoding {
  readonly slot: Slot;
  readonly length: number;
  /** Lies in the slot, too. */
  readonly result: Promise<Buffer>;
  readonly done: boolean;
}

interface Job extends Encoding {
  done: boolean;
  settle(result: Buffer | Error): void;
}

interface Thread {
  readonly worker: Worker;
  ready: boolean;
  /** How many blocks it has. */
  load: number;
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
  /** Blocks that threads have, by slot. */
  readonly #given = new Map<number, Job>();
  #count = 0;
  #starting: Promise<void> | undefined;
  #threads: readonly Thread[] = [];

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
    if (++this.#count > FEW_BLOCKS) this.#starting ??= this.#start();
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
    await this.#starting;
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    for (const thread of this.#threads) {
      while (thread.ready && thread.load < PER_THREAD) {
        const job = this.#queue.shift();
        if (!job) return;
        thread.load++;
        this.#given.set(job.slot.index, job);
        thread.worker.postMessage({ slot: job.slot.index, length: job.length } satisfies EncoderRequest);
      }
    }
  }

  async #start(): Promise<void> {
    const { workerUrl, WORKER_NAME } = await import('./encoder-worker.ts');
    const data: EncoderData = { name: WORKER_NAME, compression: this.#compression, memory: this.#memory };
    this.#threads = Array.from({ length: this.#size }, () =>
      this.#watch(new Worker(new URL(workerUrl), { workerData: data })),
    );
  }

  #watch(worker: Worker): Thread {
    const thread: Thread = { worker, ready: false, load: 0 };
    worker.on('message', (answer: EncoderAnswer | 'ready') => {
      if (answer === 'ready') thread.ready = true;
      else this.#settle(thread, answer);
      this.#dispatch();
    });
    const fail = (reason: unknown) => {
      thread.ready = false;
      const error = reason instanceof Error ? reason : new Error(`a compression thread ended: ${reason}`);
      for (const job of this.#given.values()) job.settle(error);
    };
    worker.on('error', fail).on('exit', fail);
    return thread;
  }

  #settle(thread: Thread, { slot, length, error }: EncoderAnswer): void {
    thread.load--;
    const job = this.#given.get(slot);
    this.#given.delete(slot);
    job?.settle(error ?? job.slot.result.subarray(0, length));
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
