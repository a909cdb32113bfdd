/** The program of all threads; an entry of its own in the bundle. `src/io/threads.ts` starts it. */
import { parentPort } from 'node:worker_threads';
import { FindingsError, messageOf } from './io/errors.ts';
import { inSteps } from './io/progress.ts';
import type { ThreadMessage, ThreadTask } from './io/threads.ts';

/** Takes the input of a task and a function that is told what is done, in bytes. */
type Work = (input: never, advance: (bytes: number) => void) => Promise<unknown>;

const works: Readonly<Record<string, () => Promise<Work>>> = {
  disk: async () => (await import('./disk/tasks.ts')).perform,
  compress: async () => (await import('./container/encoder-pool.ts')).encodeSlot,
  butane: async () => (await import('./build/compile.ts')).compileRoles,
};

const say = (message: ThreadMessage) => parentPort?.postMessage(message);

async function run({ work, input }: ThreadTask): Promise<void> {
  try {
    const progress = inSteps((bytes) => say({ advance: bytes }));
    const result = await (await works[work]?.())?.(input as never, progress.advance);
    progress.finish();
    say({ result });
  } catch (error) {
    say({
      message: messageOf(error),
      code: error instanceof Error && 'code' in error ? error.code : undefined,
      findings: error instanceof FindingsError ? error.findings : undefined,
    });
  }
}

parentPort?.on('message', run);
