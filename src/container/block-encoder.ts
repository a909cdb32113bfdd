import { crc32 } from 'node:zlib';
import { deflateRaw, zstdCompress } from '../archive/index.ts';

export type Compression = 'gzip' | 'zstd';

/** The fastest; source code comes out a tenth larger than by zlib's usual 6. Changing it changes every digest. */
const GZIP_LEVEL = 1;
const ZSTD_LEVEL = 3;

/** How much longer than its block a result may be: 16 runs with their headers and the encoder's own allowance, or a zstd frame. */
const EXTRA = 32 * 1024;

/** Pieces of this size are looked at whether compressing them is worth the time. */
const PIECE = 64 * 1024;
/** Shorter ones are always compressed. */
const SHORTEST = 32 * 1024;
/** Every so many bytes one is counted; prime to the record sizes of common formats, so that no column is mistaken for all. */
const STEP = 11;
/** The longest stored block (RFC 1951, 3.2.4). */
const MAX_STORED = 0xffff;
/** Magic, deflate, no flags, no time, no extra flags, unknown operating system (RFC 1952, 2.3). */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

/** The room that a block's result may need, in bytes. */
export function encodedRoom(length: number): number {
  return length + EXTRA;
}

/**
 * Compresses a block on its own, to whole gzip members or zstd frames, which may follow each other in a file. The
 * result depends on the bytes alone: the encoders are WebAssembly, because Node's own differ between processors and
 * versions.
 *
 * @param output where the result goes, with `encodedRoom`
 * @returns the part of `output` that holds it
 */
export function encodeBlock(
  block: Uint8Array,
  compression: Compression,
  output: Buffer = Buffer.allocUnsafe(encodedRoom(block.length)),
): Buffer {
  if (compression === 'gzip') {
    let end = 0;
    for (const run of runs(block)) end = writeMember(run, output, end);
    return output.subarray(0, end);
  }
  const frame = zstdCompress(block, ZSTD_LEVEL);
  if (!frame) throw new Error('the zstd encoder failed');
  output.set(frame);
  return output.subarray(0, frame.length);
}

/** Cuts a block where it changes between data that can be compressed and data that can't. */
function runs(block: Uint8Array): { bytes: Uint8Array; random: boolean }[] {
  const found = [];
  for (let start = 0; start < block.length; ) {
    const random = looksRandom(block.subarray(start, start + PIECE));
    let end = start + PIECE;
    while (end < block.length && looksRandom(block.subarray(end, end + PIECE)) === random) end += PIECE;
    found.push({ bytes: block.subarray(start, end), random });
    start = end;
  }
  return found;
}

/** Writes a gzip member at an offset and returns where it ends. */
function writeMember({ bytes, random }: { bytes: Uint8Array; random: boolean }, output: Buffer, start: number): number {
  output.set(GZIP_HEADER, start);
  const body = start + GZIP_HEADER.length;
  const deflated = random ? undefined : deflateRaw(bytes, GZIP_LEVEL);
  const end = deflated ? place(deflated, output, body) : writeStored(bytes, output, body);
  return output.writeUInt32LE(bytes.length, output.writeUInt32LE(crc32(bytes), end));
}

function place(bytes: Uint8Array, output: Buffer, at: number): number {
  output.set(bytes, at);
  return at + bytes.length;
}

/** Deflate without compression. */
function writeStored(bytes: Uint8Array, output: Buffer, at: number): number {
  let end = at;
  for (let start = 0; start < bytes.length; start += MAX_STORED) {
    const piece = bytes.subarray(start, start + MAX_STORED);
    end = output.writeUInt8(start + MAX_STORED >= bytes.length ? 1 : 0, end);
    end = output.writeUInt16LE(piece.length, end);
    end = output.writeUInt16LE(~piece.length & 0xffff, end);
    end = place(piece, output, end);
  }
  return end;
}

/**
 * Whether all byte values are about equally frequent, as in compressed or encrypted data, which deflate can't shrink;
 * the tar header of a file or two in between doesn't tell. Integers only, so that every processor comes to the same
 * answer.
 */
function looksRandom(piece: Uint8Array): boolean {
  if (piece.length < SHORTEST) return false;
  const counts = new Uint32Array(256);
  for (let i = 0; i < piece.length; i += STEP) counts[piece[i] as number] = (counts[piece[i] as number] as number) + 1;
  let squares = 0;
  for (const count of counts) squares += count * count;
  const length = Math.ceil(piece.length / STEP);
  // Random bytes come to length²/256 + length. A quarter above that is 3 % of zeros; text has 5 times as much.
  return squares * 1024 < (length * length + 256 * length) * 5;
}
