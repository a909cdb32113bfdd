import { Worker } from 'node:worker_threads';
import { type Compression, encodeBlock } from './block-encoder.ts';
import type { EncoderAnswer, EncoderData, EncoderRequest } from './encoder-worker.ts';
import { type Slot, slotsOf, slotsSize } from './slots.ts';

/** Up to so many blocks are compressed here, where starting threads would take longer. */
const FEW_BLOCKS = 2;
/** Blocks that a thread has before it besides the one that it works on, and those that are filled and written. */
const [QUEUED, AROUND] = [1, 2];

interface Job extends PromiseWithResolvers<Buffer> {
  readonly slot: Slot;
  readonly length: number;
}

interface Thread {
  readonly worker: Worker;
  /** How many blocks it has. */
  load: number;
}

/** A few slots of shared memory, and threads that compress what is in them; those are started when it is worth while. */
export class EncoderPool implements AsyncDisposable {
  readonly #compression: Compression;
  readonly #memory: SharedArrayBuffer;
  readonly #slots: readonly Slot[];
  readonly #free: Slot[];
  readonly #size: number;
  /** Waiting until there are enough for threads, or no more come. */
  #held: Job[] | undefined = [];
  readonly #jobs = new Map<number, Job>();
  #threads: Promise<readonly Thread[]> | undefined;
  #failure: Error | undefined;

  constructor(compression: Compression, threads: number) {
    this.#compression = compression;
    this.#size = threads;
    this.#memory = new SharedArrayBuffer(slotsSize(threads * (1 + QUEUED) + AROUND));
    this.#slots = slotsOf(this.#memory);
    this.#free = [...this.#slots];
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

  /** Compresses the first `length` bytes of a slot. The result lies in the slot, too. */
  encode(slot: Slot, length: number): Promise<Buffer> {
    const job: Job = { slot, length, ...Promise.withResolvers<Buffer>() };
    // Failures surface where the result is awaited, in its turn.
    job.promise.catch(() => {});
    this.#held?.push(job);
    if (!this.#held) void this.#hand([job]);
    else if (this.#held.length > FEW_BLOCKS) {
      void this.#hand(this.#held);
      this.#held = undefined;
    }
    return job.promise;
  }

  /** No more blocks will come. */
  finish(): void {
    for (const { slot, length, resolve, reject } of this.#held ?? []) {
      try {
        resolve(encodeBlock(slot.block.subarray(0, length), this.#compression, slot.result));
      } catch (error) {
        reject(error);
      }
    }
    this.#held = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const threads = (await this.#threads?.catch(() => [])) ?? [];
    await Promise.all(threads.map(({ worker }) => worker.terminate()));
  }

  async #hand(jobs: readonly Job[]): Promise<void> {
    try {
      this.#threads ??= this.#start();
      const threads = await this.#threads;
      for (const job of jobs) this.#give(threads, job);
    } catch (error) {
      for (const { reject } of jobs) reject(error);
    }
  }

  #give(threads: readonly Thread[], job: Job): void {
    if (this.#failure) throw this.#failure;
    const thread = threads.reduce((least, other) => (other.load < least.load ? other : least));
    const { index: slot } = job.slot;
    thread.load++;
    this.#jobs.set(slot, job);
    thread.worker.postMessage({ slot, length: job.length } satisfies EncoderRequest);
  }

  async #start(): Promise<readonly Thread[]> {
    const { workerUrl, WORKER_NAME } = await import('./encoder-worker.ts');
    const data: EncoderData = { name: WORKER_NAME, compression: this.#compression, memory: this.#memory };
    return Array.from({ length: this.#size }, () => this.#watch(new Worker(new URL(workerUrl), { workerData: data })));
  }

  #watch(worker: Worker): Thread {
    const thread: Thread = { worker, load: 0 };
    worker.on('message', ({ slot, length, error }: EncoderAnswer) => {
      thread.load--;
      const job = this.#jobs.get(slot);
      this.#jobs.delete(slot);
      if (error) job?.reject(error);
      else job?.resolve(job.slot.result.subarray(0, length));
    });
    const fail = (reason: unknown) => {
      this.#failure = reason instanceof Error ? reason : new Error(`a compression thread ended: ${reason}`);
      for (const { reject } of this.#jobs.values()) reject(this.#failure);
    };
    worker.on('error', fail).on('exit', fail);
    return thread;
  }
}
