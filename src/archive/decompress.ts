import { inflateRawSync } from 'node:zlib';
import { hasCode } from '../io/errors.ts';
import { formatSize } from '../io/sizes.ts';
import { Codecs, type Compression, DecodeError, Decoder } from './codecs.ts';

/** Where a whole file is a sequence of streams, xz allows zeros between them in fours; gzip files on tape end in zeros. */
const PADDING: Record<Compression, number> = { gzip: 1, xz: 4, zstd: 0 };

/**
 * A transform for `pipeline` that decompresses a whole file: one or more streams in a row, with the padding that the
 * format allows. Its memory is bounded by the format's dictionary.
 *
 * @param name what messages call the file
 * @throws Error naming the file and the place if it is damaged, truncated, or followed by something else
 */
export function decompressStream(
  compression: Compression,
  name: string,
): (source: AsyncIterable<Uint8Array>) => AsyncGenerator<Buffer, void, undefined> {
  return async function* decompress(source) {
    using file = new CompressedFile(compression, name);
    for await (const chunk of source) yield* file.feed(chunk);
    file.finish();
  };
}

/**
 * Decompresses a whole file in memory.
 *
 * @throws Error if it is damaged or unpacks to more than `limit` bytes
 */
export function decompress(
  compression: Compression,
  bytes: Uint8Array,
  options: { readonly limit: number; readonly name?: string },
): Buffer {
  const { limit, name = `the ${compression} data` } = options;
  using file = new CompressedFile(compression, name);
  const unpacked = collect(file.feed(bytes), new Budget(limit, `the contents of ${name}`));
  file.finish();
  return unpacked;
}

/** Decompresses xz in memory, of one or more streams. */
export function decompressXz(bytes: Uint8Array, options: { readonly limit: number; readonly name?: string }): Buffer {
  return decompress('xz', bytes, options);
}

/** The streams of one file, fed piece by piece. */
class CompressedFile implements Disposable {
  readonly #compression: Compression;
  readonly #name: string;
  readonly #codecs = new Codecs();
  #decoder: Decoder | undefined;
  #offset = 0;
  #streams = 0;
  #padding = 0;

  constructor(compression: Compression, name: string) {
    this.#compression = compression;
    this.#name = name;
  }

  *feed(chunk: Uint8Array): Generator<Buffer, void> {
    let rest = chunk;
    while (rest.length > 0) {
      if (!this.#decoder) {
        const padding = this.#skipPadding(rest);
        if (padding === rest.length) return;
        rest = rest.subarray(padding);
        this.#decoder = this.#start();
      }
      const consumed = yield* this.#decode(this.#decoder, rest);
      this.#offset += consumed;
      rest = rest.subarray(consumed);
      if (this.#decoder.ended) this[Symbol.dispose]();
    }
  }

  /** @throws Error unless the last stream ended */
  finish(): void {
    if (this.#decoder || this.#streams === 0) {
      throw new Error(`${this.#name} is truncated: its ${this.#compression} data ends at byte ${this.#offset}`);
    }
    this.#checkPadding();
  }

  [Symbol.dispose](): void {
    this.#decoder?.[Symbol.dispose]();
    this.#decoder = undefined;
  }

  *#decode(decoder: Decoder, bytes: Uint8Array): Generator<Buffer, number> {
    const before = decoder.offset;
    try {
      return yield* decoder.feed(bytes);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      const offset = this.#offset + decoder.offset - before;
      throw new Error(`${this.#name} can't be decompressed: ${error.message} at byte ${offset}`, { cause: error });
    }
  }

  #start(): Decoder {
    this.#checkPadding();
    this.#streams++;
    this.#padding = 0;
    return new Decoder(this.#compression, this.#codecs);
  }

  #skipPadding(bytes: Uint8Array): number {
    if (this.#streams === 0 || PADDING[this.#compression] === 0) return 0;
    let count = 0;
    while (count < bytes.length && bytes[count] === 0) count++;
    this.#padding += count;
    this.#offset += count;
    return count;
  }

  #checkPadding(): void {
    if (this.#padding === 0 || this.#padding % PADDING[this.#compression] === 0) return;
    throw new Error(`${this.#name} is damaged: its padding before byte ${this.#offset} isn't a multiple of four`);
  }
}

/** How many bytes may still come out. */
export class Budget {
  readonly #limit: number;
  readonly #name: string;
  #left: number;

  constructor(limit: number, name: string) {
    this.#limit = limit;
    this.#name = name;
    this.#left = limit;
  }

  /** @throws Error naming the limit if it is exceeded */
  spend(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) throw new Error(`${this.#name} unpack to more than the allowed ${formatSize(this.#limit)}`);
  }
}

/** Joins pieces of output while the budget lasts. */
export function collect(pieces: Iterable<Buffer>, budget: Budget): Buffer {
  const parts: Buffer[] = [];
  for (const piece of pieces) {
    budget.spend(piece.length);
    parts.push(piece);
  }
  const [only = Buffer.alloc(0)] = parts;
  return parts.length > 1 ? Buffer.concat(parts) : only;
}

/** For the many small pieces of disk images. Such pieces need little memory, so that one instance serves all. */
let shared: Codecs | undefined;

export function sharedCodecs(): Codecs {
  shared ??= new Codecs();
  return shared;
}

/**
 * Decodes the one zstd frame that `bytes` begins with; what follows it is ignored, as in the sectors of a QCOW2 cluster.
 *
 * @throws Error if it is damaged, truncated, or longer than `maxLength` bytes
 */
export function zstdDecompress(bytes: Uint8Array, maxLength: number): Buffer {
  using decoder = new Decoder('zstd', sharedCodecs());
  const unpacked = collect(decoder.feed(bytes), new Budget(maxLength, 'the zstd data'));
  if (!decoder.ended) throw new Error(`the zstd data is truncated: it ends at byte ${decoder.offset}`);
  return unpacked;
}

/** The same for one stream of raw deflate. */
export function inflateRaw(bytes: Uint8Array, maxLength: number): Buffer {
  try {
    return inflateRawSync(bytes, { maxOutputLength: maxLength });
  } catch (error) {
    const what = hasCode(error, 'ERR_BUFFER_TOO_LARGE')
      ? `unpack to more than the allowed ${formatSize(maxLength)}`
      : 'are damaged or truncated';
    throw new Error(`the deflate data ${what}`, { cause: error });
  }
}
