import { messageOf } from '../io/errors.ts';
import { MiB } from '../io/sizes.ts';
import { type Compression, DecodeError, Decoder } from './codecs.ts';
import { type ArchiveMember, CpioReader, FILE_TYPE, isCpio, REGULAR_FILE } from './cpio.ts';
import { Budget } from './decompress.ts';

const DEFAULT_LIMIT = 64 * MiB;

const MAGICS: readonly { readonly compression: Compression; readonly magic: readonly number[] }[] = [
  { compression: 'gzip', magic: [0x1f, 0x8b] },
  { compression: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] },
  { compression: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd] },
];

/** What the kernel also unpacks, but nobody writes for CoreOS. */
const UNSUPPORTED: readonly { readonly name: string; readonly magic: readonly number[] }[] = [
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68] },
  { name: 'lzma', magic: [0x5d, 0x00, 0x00] },
  { name: 'lzo', magic: [0x89, 0x4c, 0x5a, 0x4f] },
  { name: 'lz4', magic: [0x02, 0x21, 0x4c, 0x18] },
];

export interface ReadOptions {
  /** How many bytes the archives may unpack to, 64 MiB if not given. */
  readonly limit?: number;
  /** Whose data is wanted, by path without a leading `/` or `./`; that of others is empty. All if not given. */
  readonly keeps?: (path: string) => boolean;
}

/**
 * Reads an initramfs in memory, see `ArchivesReader`; gives the members in their order. `filesOf` picks what counts.
 *
 * @throws Error with the offset if an archive is damaged, truncated or too large
 */
export function readArchives(bytes: Uint8Array, options: ReadOptions = {}): readonly ArchiveMember[] {
  const reader = new ArchivesReader(options);
  reader.feed(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  return reader.finish();
}

/**
 * The regular files by path, without a leading `/` or `./`; of several with the same path the last one, as in the kernel.
 */
export function filesOf(members: Iterable<ArchiveMember>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { path, mode, data } of members) {
    const name = relative(path);
    if ((mode & FILE_TYPE) === REGULAR_FILE) files.set(name, data);
    else files.delete(name);
  }
  return files;
}

function relative(path: string): string {
  return path.replace(/^(?:\.?\/)+/, '');
}

/** An archive that is being read. */
interface Part {
  readonly ended: boolean;
  /** Takes the next bytes; returns how many belong to the archive. */
  feed(bytes: Buffer): number;
  /** @throws Error if it is truncated */
  finish(): readonly ArchiveMember[];
}

/** By so many bytes an archive is recognised. */
const HEAD_SIZE = 6;

/** Archives in a row, with zeros between them. */
class Sequence {
  readonly #begin: (head: Buffer, offset: number) => Part;
  readonly #members: ArchiveMember[] = [];
  #part: Part | undefined;
  /** Bytes that are too few to tell what begins here. */
  #head: Buffer = Buffer.alloc(0);
  #offset = 0;

  constructor(begin: (head: Buffer, offset: number) => Part) {
    this.#begin = begin;
  }

  feed(bytes: Buffer): void {
    let rest = this.#head.length > 0 ? Buffer.concat([this.#head, bytes]) : bytes;
    this.#head = Buffer.alloc(0);
    while (rest.length > 0) {
      if (!this.#part) {
        rest = this.#skipZeros(rest);
        if (rest.length < HEAD_SIZE) {
          this.#head = rest;
          return;
        }
        this.#part = this.#begin(rest, this.#offset);
      }
      const used = this.#part.feed(rest);
      this.#offset += used;
      rest = rest.subarray(used);
      if (this.#part.ended) this.#end(this.#part);
    }
  }

  finish(): readonly ArchiveMember[] {
    if (this.#head.length > 0) {
      this.#part = this.#begin(this.#head, this.#offset);
      this.#part.feed(this.#head);
    }
    if (this.#part) this.#end(this.#part);
    return this.#members;
  }

  #end(part: Part): void {
    for (const member of part.finish()) this.#members.push(member);
    this.#part = undefined;
  }

  #skipZeros(bytes: Buffer): Buffer {
    let zeros = 0;
    while (zeros < bytes.length && bytes[zeros] === 0) zeros++;
    this.#offset += zeros;
    return bytes.subarray(zeros);
  }
}

/**
 * Reads an initramfs as the kernel does (`unpack_to_rootfs`), from pieces that are fed to it: "newc" archives one after
 * another, each raw or compressed with gzip, xz or zstd, with zeros between them. Nothing but the members is kept.
 */
export class ArchivesReader {
  readonly #archives: Sequence;

  constructor({ limit = DEFAULT_LIMIT, keeps = () => true }: ReadOptions = {}) {
    const budget = new Budget(limit, 'the archives');
    const cpio = (offset: number) => new CpioReader(offset, (path) => keeps(relative(path)));
    this.#archives = new Sequence((head, offset) =>
      isCpio(head)
        ? rawArchive(cpio(offset), offset, budget)
        : new CompressedArchives(compressionAt(head, offset), offset, { cpio, budget }),
    );
  }

  /** @throws Error with the offset of what is damaged, or if it unpacks to too much */
  feed(bytes: Buffer): void {
    this.#archives.feed(bytes);
  }

  /**
   * The members in their order.
   *
   * @throws Error if the last archive is truncated
   */
  finish(): readonly ArchiveMember[] {
    return this.#archives.finish();
  }
}

function rawArchive(cpio: CpioReader, offset: number, budget: Budget): Part {
  if (offset % 4 !== 0) throw new Error(`the archive at offset ${offset} must begin at a multiple of four`);
  return {
    get ended() {
      return cpio.ended;
    },
    feed(bytes) {
      const used = cpio.feed(bytes);
      budget.spend(used);
      return used;
    },
    finish: () => cpio.finish(),
  };
}

/** The archives inside a compressed stream. */
class CompressedArchives implements Part {
  readonly #compression: Compression;
  readonly #start: number;
  readonly #budget: Budget;
  readonly #decoder: Decoder;
  readonly #inside: Sequence;

  constructor(
    compression: Compression,
    start: number,
    { cpio, budget }: { cpio: (offset: number) => CpioReader; budget: Budget },
  ) {
    this.#compression = compression;
    this.#start = start;
    this.#budget = budget;
    this.#decoder = new Decoder(compression);
    this.#inside = new Sequence((head, offset) => {
      if (offset % 4 !== 0 || !isCpio(head)) throw new Error(`there is something else at its byte ${offset}`);
      return cpio(offset);
    });
  }

  get ended(): boolean {
    return this.#decoder.ended;
  }

  feed(bytes: Buffer): number {
    const pieces = this.#decoder.feed(bytes);
    for (;;) {
      const { done, value } = this.#decoded(() => pieces.next());
      if (done) return value;
      this.#budget.spend(value.length);
      this.#read(() => this.#inside.feed(value));
    }
  }

  finish(): readonly ArchiveMember[] {
    const isComplete = this.#decoder.ended;
    this.#decoder[Symbol.dispose]();
    if (!isComplete) throw this.#damage(`the ${this.#compression} data ends too early`);
    return this.#read(() => this.#inside.finish());
  }

  #decoded<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw error instanceof DecodeError ? this.#damage(error.message, error) : error;
    }
  }

  #read<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const what = `the ${this.#compression} archive at offset ${this.#start}`;
      throw new Error(`${what} is damaged inside: ${messageOf(error)}`, { cause: error });
    }
  }

  #damage(what: string, cause?: unknown): Error {
    const place = `at offset ${this.#start + this.#decoder.offset}, in the archive at offset ${this.#start}`;
    return new Error(`${what} ${place}`, { cause });
  }
}

function compressionAt(head: Buffer, offset: number): Compression {
  const startsWith = ({ magic }: { readonly magic: readonly number[] }) =>
    magic.every((byte, index) => head[index] === byte);
  const found = MAGICS.find(startsWith);
  if (found) return found.compression;
  const known = UNSUPPORTED.find(startsWith);
  if (known) throw new Error(`the archive at offset ${offset} is compressed with ${known.name}: use gzip, xz or zstd`);
  throw new Error(`there is neither an archive nor a known compression at offset ${offset}`);
}
