import { setTimeout } from 'node:timers/promises';

/** Waits; ends early, with an error, when `signal` is aborted. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  await setTimeout(milliseconds, undefined, { signal });
}
