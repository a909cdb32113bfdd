import { setTimeout } from 'node:timers/promises';
import pRetry, { AbortError, type RetryContext } from 'p-retry';

/** A failure that may go away by itself; anything else that an attempt throws ends the tries at once. */
export class TransientError extends Error {
  override name = 'TransientError';
  /** Milliseconds that the server asked to wait (`Retry-After`), if it did. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: { cause?: unknown; retryAfter?: number | undefined } = {}) {
    super(message, { cause: options.cause });
    this.retryAfter = options.retryAfter;
  }
}

/** At most this many tries per request. */
export const MAX_TRIES = 5;
/** The waits between all tries of a request together, in milliseconds, unless a server names a longer one. */
export const MAX_TOTAL_WAIT = 20_000;
/** A server that asks for a longer wait than this is taken as a failure, in milliseconds. */
const MAX_RETRY_AFTER = 15 * 60_000;
const FIRST_WAIT = 1_000;

export interface RetryOptions {
  signal?: AbortSignal | undefined;
  /** Told before each wait. */
  onRetry?: ((error: TransientError, attempt: number, wait: number) => void) | undefined;
  /** The first wait in milliseconds; it doubles from try to try. Tests shorten it. */
  firstWait?: number;
  /** Waits so many milliseconds. Tests replace it. */
  wait?: (milliseconds: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * Runs `attempt` until it succeeds, throws something other than a `TransientError`, or `MAX_TRIES` are used up. Waits
 * grow exponentially with jitter and stay below `MAX_TOTAL_WAIT` together; a `retryAfter` is honoured.
 */
export async function withRetries<T>(attempt: (count: number) => Promise<T>, options: RetryOptions = {}): Promise<T> {
  const { signal, onRetry, firstWait = FIRST_WAIT, wait: sleep = sleepFor } = options;
  let waited = 0;
  return pRetry(
    async (count) => {
      signal?.throwIfAborted();
      return attempt(count).catch((error: unknown) => {
        throw error instanceof TransientError ? error : new AbortError(asError(error));
      });
    },
    {
      retries: MAX_TRIES - 1,
      minTimeout: 0,
      maxTimeout: 0,
      ...(signal && { signal }),
      shouldRetry: ({ error }) => !(error instanceof TransientError && (error.retryAfter ?? 0) > MAX_RETRY_AFTER),
      onFailedAttempt: async ({ error, attemptNumber, retriesLeft }: RetryContext) => {
        if (!(error instanceof TransientError) || retriesLeft === 0) return;
        const backoff = firstWait * 2 ** (attemptNumber - 1) * (0.5 + Math.random() / 2);
        const wait = error.retryAfter ?? Math.max(0, Math.min(backoff, MAX_TOTAL_WAIT - waited));
        if (wait > MAX_RETRY_AFTER) return;
        waited += wait;
        onRetry?.(error, attemptNumber, wait);
        await sleep(wait, signal);
      },
    },
  );
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

async function sleepFor(milliseconds: number, signal?: AbortSignal): Promise<void> {
  try {
    await setTimeout(milliseconds, undefined, { signal });
  } catch (error) {
    // The reason says more than "The operation was aborted".
    signal?.throwIfAborted();
    throw error;
  }
}
