import { crc32 } from 'node:zlib';
import { deflateRaw, zstdCompress } from '../archive/index.ts';

export type Compression = 'gzip' | 'zstd';

/** Three times as fast as the usual 6, and source code comes out a quarter larger. Changing it changes every digest. */
const GZIP_LEVEL = 2;
const ZSTD_LEVEL = 3;

/** Pieces of this size are looked at whether compressing them is worth the time. */
const PIECE = 64 * 1024;
/** Of a piece so many samples of so many bytes are counted, so far apart. */
const [SAMPLES, SAMPLE, SAMPLE_STEP] = [8, 1024, 4096];
/** The longest stored block (RFC 1951, 3.2.4). */
const MAX_STORED = 0xffff;
/** Magic, deflate, no flags, no time, no extra flags, unknown operating system (RFC 1952, 2.3). */
const GZIP_HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

/**
 * Compresses a block on its own, to whole gzip members or zstd frames, which may follow each other in a file. The
 * result depends on the bytes alone: the encoders are WebAssembly, because Node's own differ between processors and
 * versions.
 */
export function encodeBlock(block: Uint8Array, compression: Compression): Buffer {
  if (compression === 'gzip') return Buffer.concat(runs(block).map(gzipMember));
  const frame = zstdCompress(block, ZSTD_LEVEL);
  if (!frame) throw new Error('the zstd encoder failed');
  return frame;
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

function gzipMember({ bytes, random }: { bytes: Uint8Array; random: boolean }): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(bytes), 0);
  trailer.writeUInt32LE(bytes.length, 4);
  const deflated = random ? undefined : deflateRaw(bytes, { level: GZIP_LEVEL });
  return Buffer.concat([GZIP_HEADER, deflated ?? stored(bytes), trailer]);
}

/** Deflate without compression. */
function stored(bytes: Uint8Array): Buffer {
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += MAX_STORED) {
    const piece = bytes.subarray(start, start + MAX_STORED);
    const header = Buffer.alloc(5);
    header[0] = start + MAX_STORED >= bytes.length ? 1 : 0;
    header.writeUInt16LE(piece.length, 1);
    header.writeUInt16LE(~piece.length & 0xffff, 3);
    parts.push(header, piece);
  }
  return Buffer.concat(parts);
}

/**
 * Whether all byte values are about equally frequent in a sample, as in compressed or encrypted data, which deflate
 * can't shrink. Integers only, so that every processor comes to the same answer.
 */
function looksRandom(piece: Uint8Array): boolean {
  if (piece.length < SAMPLES * SAMPLE_STEP) return false;
  const counts = new Uint32Array(256);
  for (let sample = 0; sample < SAMPLES; sample++) {
    const start = sample * SAMPLE_STEP;
    for (let i = start; i < start + SAMPLE; i++)
      counts[piece[i] as number] = (counts[piece[i] as number] as number) + 1;
  }
  let squares = 0;
  for (const count of counts) squares += count * count;
  const length = SAMPLES * SAMPLE;
  // Random bytes come to length²/256 + length; 5 % above that is left to deflate.
  return squares * 20 < ((length * length) / 256 + length) * 21;
}
