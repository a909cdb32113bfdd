import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { type Finding, FindingsError } from './errors.ts';

/** Threads are started for at least so many bytes; less is done before they run. */
export const WORTH_A_THREAD = 4 * 1024 * 1024;

/** Less garbage is kept than Node would, which is several megabytes for each thread. */
const resourceLimits = { maxYoungGenerationSizeMb: 2 };

/** What a thread is told to do: the name of its work, and what that takes; see `src/thread.ts`. */
export interface ThreadTask {
  readonly work: string;
  readonly input: unknown;
}

/** What a thread says of a task: bytes that are done, and once the result or what went wrong. */
export type ThreadMessage =
  | { readonly advance: number }
  | { readonly result: unknown }
  | { readonly message: string; readonly code: unknown; readonly findings: readonly Finding[] | undefined };

export interface ThreadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly advance?: (bytes: number) => void;
  /** The thread ends with the task, and gives back its memory. */
  readonly once?: boolean;
}

/** Threads that wait for another task; they don't keep the process alive. */
const idle: Worker[] = [];

/**
 * Does work in another thread, which has stopped doing it when this settles. Whatever goes in and out is cloned.
 *
 * @throws what the work throws: a `FindingsError`, or an Error with the same message and code
 */
export async function runInThread(task: ThreadTask, options: ThreadOptions): Promise<unknown> {
  const { signal, advance, once = false } = options;
  signal?.throwIfAborted();
  const worker = idle.pop() ?? new Worker(threadProgram(), { name: 'k4all', resourceLimits });
  worker.ref();
  const end = Promise.withResolvers<unknown>();
  const abort = () => end.reject(signal?.reason);
  signal?.addEventListener('abort', abort);
  worker.on('message', (message: ThreadMessage) => {
    if ('advance' in message) advance?.(message.advance);
    else if ('result' in message) end.resolve(message.result);
    else end.reject(errorOf(message));
  });
  worker.on('error', end.reject);
  worker.on('exit', (code) => end.reject(new Error(`the thread for "${task.work}" ended early (exit code ${code})`)));
  worker.postMessage(task);
  let succeeded = false;
  try {
    const result = await end.promise;
    succeeded = true;
    return result;
  } finally {
    signal?.removeEventListener('abort', abort);
    // Not all at once: Node has some of its own.
    for (const event of ['message', 'error', 'exit']) worker.removeAllListeners(event);
    if (succeeded && !once) {
      worker.unref();
      idle.push(worker);
    } else await worker.terminate();
  }
}

/**
 * Does several things at the same time. When one fails, or `signal` is aborted, the others are told to stop; nothing
 * runs any more when this settles, so that files can be closed.
 *
 * @throws the error of the first that failed
 */
export async function together<Results extends readonly unknown[]>(
  signal: AbortSignal | undefined,
  start: (signal: AbortSignal) => { readonly [I in keyof Results]: Promise<Results[I]> },
): Promise<Results> {
  const stop = new AbortController();
  const running = start(signal ? AbortSignal.any([signal, stop.signal]) : stop.signal);
  try {
    return (await Promise.all(running)) as unknown as Results;
  } finally {
    stop.abort();
    await Promise.allSettled(running);
  }
}

/** The bundle has the program of the threads beside its chunks, the sources have it in the folder above. */
function threadProgram(): URL {
  const candidates = ['./thread.js', '../thread.ts'].map((name) => new URL(name, import.meta.url));
  const found = candidates.find((url) => existsSync(url));
  if (found) return found;
  throw new Error(`${candidates[0]?.pathname} is missing: it is part of dist/`);
}

function errorOf({ message, code, findings }: Extract<ThreadMessage, { message: string }>): Error {
  if (findings) return new FindingsError(message, findings);
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}
