import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { KiB } from '../io/sizes.ts';

/** Larger than a socket's high-water mark, so that writing a chunk always waits until it is sent. */
const CHUNK_SIZE = 512 * KiB;

/** A range of a file, in bytes. */
export interface FileRange {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

/**
 * Reads a range through two buffers that are used in turn, however long it is: one is read into while the other is
 * worked on. A chunk is valid until the next is asked for.
 *
 * @throws Error if the file ends inside the range
 */
export async function* readRange(range: FileRange, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const handle = await open(range.path, 'r');
  try {
    const buffers = [Buffer.allocUnsafeSlow(CHUNK_SIZE), Buffer.allocUnsafeSlow(CHUNK_SIZE)] as const;
    let ahead = fill(handle, buffers[0], range, 0);
    for (let done = 0, turn = 1; done < range.size; turn++) {
      signal?.throwIfAborted();
      const chunk = await ahead;
      done += chunk.length;
      ahead = fill(handle, buffers[turn % 2 === 0 ? 0 : 1], range, done);
      // Awaited in the next turn; without this a consumer that stops early would leave a rejection without a handler.
      ahead.catch(() => {});
      yield chunk;
    }
    await ahead;
  } finally {
    await handle.close();
  }
}

/** SHA-256 of ranges of a file, one after the other, in lower-case hex: of each, and of all together. */
export async function hashRanges(
  ranges: readonly FileRange[],
  options: { signal?: AbortSignal | undefined; advance?: (bytes: number) => void } = {},
): Promise<{ each: string[]; together: string }> {
  const together = createHash('sha256');
  const each: string[] = [];
  for (const range of ranges) {
    const hash = createHash('sha256');
    for await (const chunk of readRange(range, options.signal)) {
      hash.update(chunk);
      if (ranges.length > 1) together.update(chunk);
      options.advance?.(chunk.length);
    }
    each.push(hash.digest('hex'));
  }
  return { each, together: ranges.length === 1 ? (each[0] ?? '') : together.digest('hex') };
}

async function fill(handle: FileHandle, buffer: Buffer, range: FileRange, done: number): Promise<Buffer> {
  const wanted = Math.min(buffer.length, range.size - done);
  let filled = 0;
  while (filled < wanted) {
    const { bytesRead } = await handle.read(buffer, filled, wanted - filled, range.offset + done + filled);
    if (bytesRead === 0) throw new Error(`${range.path} became shorter while it was read`);
    filled += bytesRead;
  }
  return buffer.subarray(0, wanted);
}
