import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { type Compression, encodeBlock } from './block-encoder.ts';
import type { EncoderAnswer, EncoderRequest } from './encoder-worker.ts';

/** Blocks are compressed independently of each other; changing this size changes every digest. */
const BLOCK = 1024 * 1024;
const MAX_WORKERS = 4;
/** Up to so many blocks are compressed here, where starting workers would take longer. */
const FEW_BLOCKS = 2;

/**
 * Compresses a stream to bytes that depend on its bytes alone: not on the operating system, the processor, Node's
 * version, how the input was cut, or how many threads there are.
 */
export async function* compress(input: AsyncIterable<Uint8Array>, compression: Compression): AsyncGenerator<Buffer> {
  await using pool = new EncoderPool(compression);
  const pending: Promise<Buffer>[] = [];
  for await (const block of blocks(input, BLOCK)) {
    const result = pool.encode(block);
    // Failures surface where the result is awaited, in its turn.
    result.catch(() => {});
    pending.push(result);
    if (pending.length > pool.depth) yield (await pending.shift()) as Buffer;
  }
  for (const result of pending) yield await result;
}

/** Cuts a stream into blocks of exactly `size` bytes, the last one shorter. Each has a buffer of its own. */
export async function* blocks(input: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let block = emptyBlock(size);
  let filled = 0;
  for await (const chunk of input) {
    for (let start = 0; start < chunk.length; ) {
      const piece = chunk.subarray(start, start + size - filled);
      block.set(piece, filled);
      filled += piece.length;
      start += piece.length;
      if (filled < size) continue;
      yield block;
      block = emptyBlock(size);
      filled = 0;
    }
  }
  if (filled > 0) yield block.slice(0, filled);
}

/** Not zeroed, and not out of Node's pool: its buffer is handed to a thread. */
function emptyBlock(size: number): Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset } = Buffer.allocUnsafeSlow(size);
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, size);
}

interface Job {
  resolve(result: Buffer): void;
  reject(error: Error): void;
}

/** Threads that compress blocks; they are started when there is enough to do. */
class EncoderPool implements AsyncDisposable {
  /** How many blocks may wait at once. */
  readonly depth: number;
  readonly #compression: Compression;
  readonly #jobs = new Map<number, Job>();
  readonly #size = Math.min(MAX_WORKERS, availableParallelism());
  readonly #workers: Worker[] = [];
  #count = 0;

  constructor(compression: Compression) {
    this.#compression = compression;
    this.depth = 3 * this.#size + FEW_BLOCKS;
  }

  /** Compresses a block; its buffer is handed over. */
  async encode(block: Uint8Array<ArrayBuffer>): Promise<Buffer> {
    const id = this.#count++;
    if (id < FEW_BLOCKS) return encodeBlock(block, this.#compression);
    const worker = await this.#worker(id);
    return new Promise((resolve, reject) => {
      this.#jobs.set(id, { resolve, reject });
      const request: EncoderRequest = { id, block, compression: this.#compression };
      worker.postMessage(request, [block.buffer]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  async #worker(id: number): Promise<Worker> {
    const { workerUrl, WORKER_NAME } = await import('./encoder-worker.ts');
    const index = id % this.#size;
    this.#workers[index] ??= this.#watch(new Worker(new URL(workerUrl), { workerData: WORKER_NAME }));
    return this.#workers[index];
  }

  #watch(worker: Worker): Worker {
    worker.on('message', ({ id, result, error }: EncoderAnswer) => {
      const job = this.#jobs.get(id);
      this.#jobs.delete(id);
      if (result) job?.resolve(Buffer.from(result.buffer));
      else job?.reject(error ?? new Error('a compression thread gave nothing back'));
    });
    const fail = (reason: unknown) => {
      const error = reason instanceof Error ? reason : new Error(`a compression thread ended: ${reason}`);
      for (const job of this.#jobs.values()) job.reject(error);
    };
    return worker.on('error', fail).on('exit', fail);
  }
}
