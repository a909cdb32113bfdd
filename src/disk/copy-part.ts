import { createHash, type Hash } from 'node:crypto';
import { writeSync } from 'node:fs';
import type { Advance } from '../io/progress.ts';
import { type Reader, readInto } from '../io/reader.ts';
import { KiB, MiB } from '../io/sizes.ts';
import type { Image } from './image.ts';
import { type Step, schedule } from './schedule.ts';

/** What is read at once: it stays in the cache of its core until it is hashed and written. */
const CHUNK_SIZE = 256 * KiB;
/** What is read ahead at once, where a thread only hashes and another core reads meanwhile; handing over takes its time. */
const AHEAD_SIZE = 8 * MiB;
/**
 * What one call writes at most. Linux copies larger pieces into large folios past the cache, which makes the same
 * bytes several times as slow (seen with 6.18 and ext4).
 */
const WRITE_SIZE = 128 * KiB;
/** Zeros are only hashed; this much in one step. */
const ZERO_PIECE = 16 * MiB;
const ZEROS = Buffer.alloc(CHUNK_SIZE);

/** What is to be done for one image: hash it, write it, or both. */
export interface Output<Source = Reader> {
  /** Names the output among those of all parts. */
  readonly index: number;
  readonly image: Image<Source>;
  /** The open file that it is written to, zero unless it holds the source, and what is written of the image. */
  readonly file: (WriteRange & { readonly fd: number; readonly holdsSource: boolean }) | undefined;
  readonly digest: DigestStart | undefined;
}

/** Positions in an image. */
export interface WriteRange {
  readonly from: number;
  /** Exclusive. */
  readonly to: number;
}

/** How the SHA-256 of an output begins: with the state that output `from` of the same part has after `start` bytes, or at 0. */
export interface DigestStart {
  readonly from: number | undefined;
  readonly start: number;
}

/** Outputs that one thread works on together. */
export type Part<Source = Reader> = readonly Output<Source>[];

/** The SHA-256, in lower-case hex, of the output with this index. */
export type Digest = readonly [index: number, sha256: string];

/**
 * Writes and hashes images in one pass over what is behind them, reading each chunk once.
 *
 * @param advance is told the bytes that were hashed, or written if nothing is hashed
 */
export async function copyPart(part: Part, advance: Advance): Promise<Digest[]> {
  const onlyHashes = part.every(({ file }) => !file);
  const chunkSize = onlyHashes ? AHEAD_SIZE : CHUNK_SIZE;
  const chunks = new ChunkReader(chunkSize, onlyHashes);
  const digests = digestsOf(part);
  const images = part.map(({ image }) => image);
  for (const step of schedule(images, chunkSize, ZERO_PIECE)) {
    const { piece, position } = step;
    const output = part[step.output];
    const digest = digests.get(output?.index ?? -1);
    const write = writeFor(output, step);
    if (piece.kind === 'zeros') digest?.zeros(position, piece.length);
    else if (write || digest) {
      const bytes = piece.kind === 'bytes' ? piece.bytes : await chunks.read(piece.source, piece.offset, piece.length);
      digest?.add(position, bytes);
      if (write) writeFully(write.fd, bytes.subarray(write.from - position, write.to - position), write.from);
    }
    if (digest) await advance(piece.length);
    else if (write && digests.size === 0) await advance(write.to - write.from);
  }
  return [...digests].map(([index, digest]) => [index, digest.result()]);
}

function digestsOf(part: Part): Map<number, OutputDigest> {
  const digests = new Map<number, OutputDigest>();
  for (const { index, digest } of part) if (digest) digests.set(index, new OutputDigest(part, index, digest, digests));
  return digests;
}

/** What is to be written of a step, if anything isn't in place. */
function writeFor(output: Output | undefined, { piece, position }: Step): (WriteRange & { fd: number }) | undefined {
  if (!output?.file || piece.kind === 'zeros') return undefined;
  const { fd, holdsSource } = output.file;
  if (holdsSource && piece.kind === 'range' && piece.offset === position) return undefined;
  const from = Math.max(output.file.from, position);
  const to = Math.min(output.file.to, position + piece.length);
  return from < to ? { fd, from, to } : undefined;
}

function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(fd, bytes, done, Math.min(WRITE_SIZE, bytes.length - done), position + done);
  }
}

/** The last chunk of each source, and the next where reading ahead pays. */
class ChunkReader {
  readonly #size: number;
  readonly #readsAhead: boolean;
  readonly #current = new Map<Reader, Chunk>();
  readonly #next = new Map<Reader, Chunk>();

  constructor(size: number, readsAhead: boolean) {
    this.#size = size;
    this.#readsAhead = readsAhead;
  }

  /** A range that crosses no multiple of the chunk size; valid until the next call. */
  async read(source: Reader, offset: number, length: number): Promise<Uint8Array> {
    const index = Math.floor(offset / this.#size);
    const chunk = this.#current.get(source);
    const { buffer } = chunk?.index === index ? chunk : await this.#advance(source, index, chunk);
    const from = offset - index * this.#size;
    return buffer.subarray(from, from + length);
  }

  async #advance(source: Reader, index: number, last: Chunk | undefined): Promise<Chunk> {
    const ahead = this.#next.get(source);
    await ahead?.ready;
    const chunk = ahead?.index === index ? ahead : this.#start(source, index, ahead ?? last, readInto);
    await chunk.ready;
    this.#current.set(source, chunk);
    if (this.#readsAhead && (index + 1) * this.#size < source.size) {
      const spare = last?.buffer === chunk.buffer ? undefined : last;
      this.#next.set(source, this.#start(source, index + 1, spare, readAhead));
    }
    return chunk;
  }

  /** Begins to read a chunk into the buffer of one that isn't needed any more. */
  #start(source: Reader, index: number, spare: Chunk | undefined, read: typeof readInto): Chunk {
    const buffer = spare?.buffer ?? Buffer.allocUnsafeSlow(this.#size);
    const start = index * this.#size;
    const ready = read(source, buffer.subarray(0, Math.min(this.#size, source.size - start)), start);
    // Whoever needs the chunk awaits it; until then a failure must not count as unhandled.
    ready.catch(() => {});
    return { index, buffer, ready };
  }
}

interface Chunk {
  readonly index: number;
  readonly buffer: Buffer;
  readonly ready: Promise<void>;
}

function readAhead(source: Reader, buffer: Uint8Array, offset: number): Promise<void> {
  return source.readAhead ? source.readAhead(buffer, offset) : readInto(source, buffer, offset);
}

/** The SHA-256 of an output; others may go on from a state on its way. */
class OutputDigest {
  #hash: Hash = createHash('sha256');
  readonly #start: number;
  readonly #others: ReadonlyMap<number, OutputDigest>;
  /** The outputs that go on from here, and after how many bytes, ascending. */
  readonly #forks: readonly { readonly index: number; readonly at: number }[];

  constructor(part: Part, own: number, { start }: DigestStart, others: ReadonlyMap<number, OutputDigest>) {
    this.#start = start;
    this.#others = others;
    this.#forks = part
      .flatMap(({ index, digest }) => (digest?.from === own ? [{ index, at: digest.start }] : []))
      .sort((a, b) => a.at - b.at);
  }

  add(position: number, bytes: Uint8Array): void {
    this.#walk(position, bytes.length, (from, to) => this.#hash.update(bytes.subarray(from, to)));
  }

  zeros(position: number, length: number): void {
    this.#walk(position, length, (from, to) => {
      for (let left = to - from; left > 0; left -= ZEROS.length) this.#hash.update(ZEROS.subarray(0, left));
    });
  }

  result(): string {
    return this.#hash.digest('hex');
  }

  /** Calls `update` for what is to be hashed of a piece, and hands the state on where others need it. */
  #walk(position: number, length: number, update: (from: number, to: number) => void): void {
    // What lies before `start` is hashed by the image that this one shares it with.
    let done = Math.max(0, Math.min(length, this.#start - position));
    for (const { index, at } of this.#forks) {
      if (at <= position || at > position + length) continue;
      if (at > position + done) update(done, at - position);
      done = at - position;
      const other = this.#others.get(index);
      if (other) other.#hash = this.#hash.copy();
    }
    if (done < length) update(done, length);
  }
}
