import { createHash, type Hash } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** Zeros are hashed in pieces of this many bytes. */
const ZEROS = 1024 * 1024;

/**
 * What a digest thread runs. It is a text because a bundle has no file that it could be started from. A message is a
 * batch of operations; the answer tells its number, and the digests that were asked for.
 */
const workerSource = `
const { createHash } = require('node:crypto');
const { parentPort, workerData } = require('node:worker_threads');
const memory = Buffer.from(workerData);
const zeros = Buffer.alloc(${ZEROS});
const hashes = new Map();
const hashOf = (id) => hashes.get(id) ?? hashes.set(id, createHash('sha256')).get(id);
parentPort.on('message', ({ batch, operations }) => {
  const digests = [];
  for (const [kind, id, a, b] of operations) {
    if (kind === 'update') hashOf(id).update(memory.subarray(a, a + b));
    else if (kind === 'fork') hashes.set(id, hashOf(a).copy());
    else if (kind === 'digest') digests.push([id, hashOf(id).digest('hex')]);
    else for (let left = a; left > 0; left -= ${ZEROS}) hashOf(id).update(zeros.subarray(0, left));
  }
  parentPort.postMessage({ batch, digests });
});`;

type Operation =
  | readonly ['update', id: number, start: number, length: number]
  | readonly ['zeros', id: number, length: number]
  | readonly ['fork', id: number, from: number]
  | readonly ['digest', id: number];

interface Answer {
  readonly batch: number;
  readonly digests: readonly (readonly [id: number, digest: string])[];
}

/** Runs batches of operations on hash states that are known by number. */
interface DigestThread {
  run(operations: readonly Operation[]): Promise<Answer['digests']>;
  close(): Promise<void>;
}

/**
 * SHA-256 states spread over threads, so that all cores hash while the disk writes. Operations on one state keep their
 * order. `update` and so on only collect; `flush` sends what was collected.
 */
export class DigestPool implements AsyncDisposable {
  readonly #threads: DigestThread[];
  readonly #operations: Operation[][];
  readonly #threadOf: number[] = [];

  /**
   * @param threads 0 hashes in the calling thread, which is faster for a few megabytes
   * @param memory what `update` refers to
   */
  constructor(memory: SharedArrayBuffer, threads: number) {
    this.#threads = threads === 0 ? [localThread(memory)] : Array.from({ length: threads }, () => startThread(memory));
    this.#operations = this.#threads.map(() => []);
  }

  /** How many threads are worth starting for so many independent states and bytes. */
  static threadsFor(states: number, bytes: number): number {
    return bytes < 4 * 1024 * 1024 ? 0 : Math.min(states, availableParallelism());
  }

  get threads(): number {
    return this.#threads.length;
  }

  /** Says which thread has a state. States that are forked from each other share one. */
  assign(id: number, thread: number): void {
    this.#threadOf[id] = thread;
  }

  /** Hashes `length` bytes of the memory from `start`, which must stay as they are until the flush that sends this is done. */
  update(id: number, start: number, length: number): void {
    this.#add(id, ['update', id, start, length]);
  }

  zeros(id: number, length: number): void {
    this.#add(id, ['zeros', id, length]);
  }

  /** State `id` goes on from where `from` is now. */
  fork(id: number, from: number): void {
    this.#add(id, ['fork', id, from]);
  }

  /** Resolves when everything that was collected is hashed. */
  async flush(): Promise<void> {
    await Promise.all(
      this.#threads.map(async (thread, i) => {
        const operations = this.#operations[i] ?? [];
        if (operations.length === 0) return;
        this.#operations[i] = [];
        await thread.run(operations);
      }),
    );
  }

  /** The digest of a state, in lower-case hex; the state can't be used afterwards. */
  async digest(id: number): Promise<string> {
    const thread = this.#threads[this.#threadOf[id] ?? 0];
    const [[, digest] = [id, '']] = (await thread?.run([['digest', id]])) ?? [];
    return digest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }

  #add(id: number, operation: Operation): void {
    this.#operations[this.#threadOf[id] ?? 0]?.push(operation);
  }
}

function startThread(memory: SharedArrayBuffer): DigestThread {
  const worker = new Worker(workerSource, { eval: true, workerData: memory });
  const waiting = new Map<number, PromiseWithResolvers<Answer['digests']>>();
  let failure: Error | undefined;
  let batches = 0;
  const fail = (error: Error) => {
    failure = error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', ({ batch, digests }: Answer) => {
    waiting.get(batch)?.resolve(digests);
    waiting.delete(batch);
  });
  worker.on('error', (error: unknown) => fail(error instanceof Error ? error : new Error(String(error))));
  worker.on('exit', (code) => fail(new Error(`a digest thread ended early (exit code ${code})`)));
  return {
    async run(operations) {
      if (failure) throw failure;
      const answer = Promise.withResolvers<Answer['digests']>();
      const batch = batches++;
      waiting.set(batch, answer);
      worker.postMessage({ batch, operations });
      return answer.promise;
    },
    async close() {
      fail(new Error('the digest threads were stopped'));
      await worker.terminate();
    },
  };
}

function localThread(memory: SharedArrayBuffer): DigestThread {
  const bytes = new Uint8Array(memory);
  const zeros = new Uint8Array(ZEROS);
  const hashes = new Map<number, Hash>();
  const hashOf = (id: number): Hash => {
    const hash = hashes.get(id) ?? createHash('sha256');
    hashes.set(id, hash);
    return hash;
  };
  return {
    async run(operations) {
      const digests: [number, string][] = [];
      for (const [kind, id, a = 0, b = 0] of operations) {
        if (kind === 'update') hashOf(id).update(bytes.subarray(a, a + b));
        else if (kind === 'fork') hashes.set(id, hashOf(a).copy());
        else if (kind === 'digest') digests.push([id, hashOf(id).digest('hex')]);
        else for (let left = a; left > 0; left -= ZEROS) hashOf(id).update(zeros.subarray(0, left));
      }
      return digests;
    },
    async close() {},
  };
}
