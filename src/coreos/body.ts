import { type HttpResponse, transientNetworkError } from '../io/http.ts';
import { MiB } from '../io/sizes.ts';

/** So much of a body waits in memory before the server is slowed down. */
const QUEUE_SIZE = MiB;

/**
 * The chunks of an answer's body. They are taken over as they arrive, from the call of this function on, so that what came
 * before a connection broke is not lost with it.
 *
 * What breaks the connection is a `TransientError`, thrown after the last chunk that arrived.
 */
export function bodyChunks(
  { body, url }: HttpResponse,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer, void, undefined> {
  const queue: Buffer[] = [];
  let queued = 0;
  let end: { error?: unknown } | undefined;
  let wake = () => {};
  body.on('data', (chunk: Buffer) => {
    queue.push(chunk);
    queued += chunk.length;
    if (queued >= QUEUE_SIZE) body.pause();
    wake();
  });
  const ended = (result: { error?: unknown }) => {
    end ??= result;
    wake();
  };
  body.on('end', () => ended({}));
  body.on('error', (error) => ended({ error }));
  body.on('close', () => ended({ error: new Error('the connection was lost') }));

  return (async function* () {
    try {
      for (;;) {
        for (let chunk = queue.shift(); chunk; chunk = queue.shift()) {
          queued -= chunk.length;
          if (queued < QUEUE_SIZE / 2 && body.isPaused()) body.resume();
          yield chunk;
        }
        if (end) break;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      body.destroy();
    }
    if (!('error' in end)) return;
    signal?.throwIfAborted();
    throw transientNetworkError(url, end.error);
  })();
}
