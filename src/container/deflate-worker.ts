import { parentPort, workerData } from 'node:worker_threads';
import { Deflate } from 'fflate';

/** What this file is started as, so that it can tell its own worker from any other that happens to load it. */
export const WORKER_NAME = 'k4all-deflate';
/** This file, to be started as a worker. It imports nothing else of the project: a bundler must keep it apart. */
export const workerUrl: string = import.meta.url;

/** Pieces of this size are looked at whether compressing them is worth the time. */
const PIECE = 64 * 1024;
/** The longest stored block (RFC 1951, 3.2.4). */
const MAX_STORED = 0xffff;

/**
 * Compresses a block on its own: raw deflate (RFC 1951) that ends on a byte boundary without a final block, so that
 * results can be joined. The result depends on the bytes and on fflate's version alone. Node's zlib would be faster,
 * but its output differs between processors and versions.
 */
export function deflateBlock(block: Uint8Array): Buffer {
  const parts: Buffer[] = [];
  for (let start = 0; start < block.length; ) {
    const random = looksRandom(block.subarray(start, start + PIECE));
    let end = start + PIECE;
    while (end < block.length && looksRandom(block.subarray(end, end + PIECE)) === random) end += PIECE;
    const run = block.subarray(start, end);
    if (random) store(run, parts);
    else compress(run, parts);
    start = end;
  }
  return Buffer.concat(parts);
}

function compress(bytes: Uint8Array, parts: Buffer[]): void {
  const deflate = new Deflate({ level: 6, mem: 8 }, (chunk) => parts.push(Buffer.from(chunk)));
  deflate.push(bytes, false);
  deflate.flush(true);
}

function store(bytes: Uint8Array, parts: Buffer[]): void {
  for (let start = 0; start < bytes.length; start += MAX_STORED) {
    const piece = bytes.subarray(start, start + MAX_STORED);
    const header = Buffer.alloc(5);
    header.writeUInt16LE(piece.length, 1);
    header.writeUInt16LE(~piece.length & 0xffff, 3);
    parts.push(header, Buffer.from(piece));
  }
}

/**
 * Whether all byte values are about equally frequent, as in compressed or encrypted data, which deflate can't shrink.
 * Integers only, so that every processor comes to the same answer.
 */
function looksRandom(piece: Uint8Array): boolean {
  if (piece.length < PIECE / 4) return false;
  const counts = new Uint32Array(256);
  for (let i = 0; i < piece.length; i++) {
    const value = piece[i] as number;
    counts[value] = (counts[value] as number) + 1;
  }
  let squares = 0;
  for (const count of counts) squares += count * count;
  // Random bytes come to length²/256 + length; 5 % above that is left to deflate.
  const expected = (piece.length * piece.length) / 256 + piece.length;
  return squares * 20 < expected * 21;
}

if (workerData === WORKER_NAME && parentPort) {
  const port = parentPort;
  port.on('message', ({ id, block }: { id: number; block: Uint8Array }) => {
    port.postMessage({ id, result: deflateBlock(block) });
  });
}
