import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import { deflateBlock, WORKER_NAME, workerUrl } from './deflate-worker.ts';

/** Blocks are compressed independently of each other; changing this size changes every digest. */
const BLOCK = 1024 * 1024;
const MAX_WORKERS = 4;
/** Up to so many blocks are compressed here, where starting workers would take longer. */
const FEW_BLOCKS = 2;

/** Magic, deflate, no flags, no time, no extra flags, unknown operating system (RFC 1952, 2.3). */
const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
/** A final block of no bytes with fixed codes. */
const FINAL_BLOCK = Buffer.from([3, 0]);

/**
 * One gzip member whose bytes depend on the input's bytes alone: not on the operating system, the processor, Node's
 * version, how the input was cut, or how many threads there are.
 */
export async function* gzip(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  yield HEADER;
  let checksum = 0;
  let length = 0;
  await using pool = new DeflatePool();
  const pending: Promise<Buffer>[] = [];
  for await (const block of blocks(input, BLOCK)) {
    checksum = crc32(block, checksum);
    length += block.length;
    const result = pool.deflate(block);
    // Failures surface where the result is awaited, in its turn.
    result.catch(() => {});
    pending.push(result);
    if (pending.length > pool.depth) yield (await pending.shift()) as Buffer;
  }
  for (const result of pending) yield await result;
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(length % 2 ** 32, 4);
  yield Buffer.concat([FINAL_BLOCK, trailer]);
}

/** Cuts a stream into blocks of exactly `size` bytes, the last one shorter. Each has a buffer of its own. */
export async function* blocks(input: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let block = new Uint8Array(size);
  let filled = 0;
  for await (const chunk of input) {
    for (let start = 0; start < chunk.length; ) {
      const piece = chunk.subarray(start, start + size - filled);
      block.set(piece, filled);
      filled += piece.length;
      start += piece.length;
      if (filled < size) continue;
      yield block;
      block = new Uint8Array(size);
      filled = 0;
    }
  }
  if (filled > 0) yield block.slice(0, filled);
}

interface Job {
  resolve(result: Buffer): void;
  reject(error: Error): void;
}

/** Threads that compress blocks; they are started when there is enough to do. */
class DeflatePool implements AsyncDisposable {
  /** How many blocks may wait at once. */
  readonly depth: number;
  readonly #jobs = new Map<number, Job>();
  readonly #size = Math.min(MAX_WORKERS, availableParallelism());
  #workers: Worker[] = [];
  #count = 0;

  constructor() {
    this.depth = 2 * this.#size + FEW_BLOCKS;
  }

  /** Compresses a block; its buffer is handed over. */
  deflate(block: Uint8Array<ArrayBuffer>): Promise<Buffer> {
    const id = this.#count++;
    if (id < FEW_BLOCKS) return new Promise((resolve) => setImmediate(() => resolve(deflateBlock(block))));
    if (this.#workers.length < this.#size) this.#workers.push(this.#start());
    return new Promise((resolve, reject) => {
      this.#jobs.set(id, { resolve, reject });
      this.#workers[id % this.#workers.length]?.postMessage({ id, block }, [block.buffer]);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }

  #start(): Worker {
    const worker = new Worker(new URL(workerUrl), { workerData: WORKER_NAME });
    worker.on('message', ({ id, result }: { id: number; result: Uint8Array<ArrayBuffer> }) => {
      this.#jobs.get(id)?.resolve(Buffer.from(result.buffer, result.byteOffset, result.byteLength));
      this.#jobs.delete(id);
    });
    worker.on('error', (error) => {
      for (const job of this.#jobs.values()) job.reject(error instanceof Error ? error : new Error(String(error)));
    });
    return worker;
  }
}
