import { availableParallelism } from 'node:os';
import type { Compression } from './block-encoder.ts';
import { EncoderPool } from './encoder-pool.ts';
import { BLOCK, type Slot } from './slots.ts';

const MAX_THREADS = 4;

/**
 * Compresses a stream to bytes that depend on its bytes alone: not on the operating system, the processor, Node's
 * version, how the input was cut, or how many threads there are. Memory is two megabytes for each of a few blocks.
 *
 * @returns pieces of shared memory, each valid until the next is asked for
 */
export async function* compress(input: AsyncIterable<Uint8Array>, compression: Compression): AsyncGenerator<Buffer> {
  // One core is busy enough with reading, hashing and writing.
  const threads = Math.max(1, Math.min(MAX_THREADS, availableParallelism() - 1));
  await using pool = new EncoderPool(compression, threads);
  const pending: { slot: Slot; result: Promise<Buffer> }[] = [];
  for await (const { slot, length } of blocks(input, () => pool.take())) {
    pending.push({ slot, result: pool.encode(slot, length) });
    if (pool.hasFree) continue;
    const oldest = pending.shift();
    if (!oldest) continue;
    yield await oldest.result;
    pool.release(oldest.slot);
  }
  pool.finish();
  for (const { result } of pending) yield await result;
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
