import { encodedRoom } from './block-encoder.ts';

/** Blocks are compressed independently of each other; changing this size changes every digest. */
export const BLOCK = 1024 * 1024;
const ROOM = encodedRoom(BLOCK);

/** Memory for one block and for what it is compressed to, shared between threads so that neither is ever copied. */
export interface Slot {
  readonly index: number;
  readonly block: Buffer;
  readonly result: Buffer;
}

/** The bytes that so many slots take. */
export function slotsSize(count: number): number {
  return count * (BLOCK + ROOM);
}

/** The slots in a memory of `slotsSize`. */
export function slotsOf(memory: SharedArrayBuffer): Slot[] {
  const count = memory.byteLength / slotsSize(1);
  return Array.from({ length: count }, (_, index) => {
    const start = slotsSize(index);
    return { index, block: Buffer.from(memory, start, BLOCK), result: Buffer.from(memory, start + BLOCK, ROOM) };
  });
}
