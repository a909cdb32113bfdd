import { availableParallelism } from 'node:os';
import type { Compression } from './block-encoder.ts';
import { EncoderPool, type Encoding } from './encoder-pool.ts';
import { BLOCK, type Slot } from './slots.ts';

const MAX_THREADS = 4;

/**
 * Compresses a stream to bytes that depend on its bytes alone: not on the operating system, the processor, Node's
 * version, how the input was cut, or how many threads there are. Memory is two megabytes for each of a few blocks.
 *
 * @param threads besides this one, which reads, hashes and writes, and helps
 * @returns pieces of shared memory, each valid until the next is asked for
 */
export async function* compress(
  input: AsyncIterable<Uint8Array>,
  compression: Compression,
  threads: number = Math.min(MAX_THREADS, availableParallelism() - 1),
): AsyncGenerator<Buffer> {
  await using pool = new EncoderPool(compression, threads);
  const pending: Encoding[] = [];
  for await (const { slot, length } of blocks(input, () => pool.take())) {
    pending.push(pool.encode(slot, length));
    if (!pool.hasFree) yield* oldest(pool, pending);
  }
  while (pending.length > 0) yield* oldest(pool, pending);
}

/** The result that is next in order; the slot is free afterwards. */
async function* oldest(pool: EncoderPool, pending: Encoding[]): AsyncGenerator<Buffer> {
  const encoding = pending.shift();
  if (!encoding) return;
  if (!encoding.done) pool.help();
  yield await encoding.result;
  pool.release(encoding.slot);
}

/** Cuts a stream into blocks, each in a slot of its own; all but the last are full. */
export async function* blocks(
  input: AsyncIterable<Uint8Array>,
  take: () => Slot,
): AsyncGenerator<{ slot: Slot; length: number }> {
  let slot: Slot | undefined;
  let filled = 0;
  for await (const chunk of input) {
    for (let start = 0; start < chunk.length; ) {
      slot ??= take();
      const piece = chunk.subarray(start, start + BLOCK - filled);
      slot.block.set(piece, filled);
      filled += piece.length;
      start += piece.length;
      if (filled < BLOCK) continue;
      yield { slot, length: filled };
      slot = undefined;
      filled = 0;
    }
  }
  if (slot) yield { slot, length: filled };
}
