import { messageOf } from '../io/errors.ts';
import { MiB } from '../io/sizes.ts';
import { type Compression, DecodeError, Decoder } from './codecs.ts';
import { type ArchiveMember, FILE_TYPE, isCpio, REGULAR_FILE, readCpio } from './cpio.ts';
import { Budget, collect } from './decompress.ts';

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

/**
 * Reads an initramfs as the kernel does (`unpack_to_rootfs`): "newc" archives one after another, each raw or compressed
 * with gzip, xz or zstd, with zeros between them. Gives the members in their order; `filesOf` picks what counts.
 *
 * @param options.limit how many bytes the archives may unpack to, 64 MiB if not given
 * @throws Error with the offset if an archive is damaged, truncated or too large
 */
export function readArchives(bytes: Uint8Array, options: { readonly limit?: number } = {}): ArchiveMember[] {
  const { limit = DEFAULT_LIMIT } = options;
  const source = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const members: ArchiveMember[] = [];
  const budget = new Budget(limit, 'the archives');
  for (let offset = skipZeros(source, 0); offset < source.length; ) {
    const archive = isCpio(source, offset) ? readRaw(source, offset, budget) : readCompressed(source, offset, budget);
    members.push(...archive.members);
    offset = skipZeros(source, archive.end);
  }
  return members;
}

/**
 * The regular files by path, without a leading `/` or `./`; of several with the same path the last one, as in the kernel.
 */
export function filesOf(members: Iterable<ArchiveMember>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const { path, mode, data } of members) {
    const name = path.replace(/^(?:\.?\/)+/, '');
    if ((mode & FILE_TYPE) === REGULAR_FILE) files.set(name, data);
    else files.delete(name);
  }
  return files;
}

/** What one archive or compressed stream holds, and where it ends. */
interface Unpacked {
  readonly members: ArchiveMember[];
  readonly end: number;
}

function readRaw(source: Buffer, offset: number, budget: Budget): Unpacked {
  if (offset % 4 !== 0) throw new Error(`the archive at offset ${offset} must begin at a multiple of four`);
  const { members, end } = readCpio(source, offset);
  budget.spend(end - offset);
  return { members, end };
}

function readCompressed(source: Buffer, offset: number, budget: Budget): Unpacked {
  const compression = compressionAt(source, offset);
  const what = `the ${compression} archive at offset ${offset}`;
  const { unpacked, end } = unpack(compression, source, offset, budget);
  try {
    return { members: readSequence(unpacked), end };
  } catch (error) {
    throw new Error(`${what} is damaged inside: ${messageOf(error)}`, { cause: error });
  }
}

function compressionAt(source: Buffer, offset: number): Compression {
  const startsWith = ({ magic }: { readonly magic: readonly number[] }) =>
    magic.every((byte, index) => source[offset + index] === byte);
  const found = MAGICS.find(startsWith);
  if (found) return found.compression;
  const known = UNSUPPORTED.find(startsWith);
  if (known) throw new Error(`the archive at offset ${offset} is compressed with ${known.name}: use gzip, xz or zstd`);
  throw new Error(`there is neither an archive nor a known compression at offset ${offset}`);
}

function unpack(
  compression: Compression,
  source: Buffer,
  offset: number,
  budget: Budget,
): { readonly unpacked: Buffer; readonly end: number } {
  using decoder = new Decoder(compression);
  const fail = (what: string, cause?: unknown) =>
    new Error(`${what} at offset ${offset + decoder.offset}, in the archive at offset ${offset}`, { cause });
  try {
    const unpacked = collect(decoder.feed(source.subarray(offset)), budget);
    if (!decoder.ended) throw fail(`the ${compression} data ends too early`);
    return { unpacked, end: offset + decoder.offset };
  } catch (error) {
    throw error instanceof DecodeError ? fail(error.message, error) : error;
  }
}

/** The archives inside a compressed one, with zeros between them. */
function readSequence(unpacked: Buffer): ArchiveMember[] {
  const members: ArchiveMember[] = [];
  for (let offset = skipZeros(unpacked, 0); offset < unpacked.length; ) {
    if (offset % 4 !== 0 || !isCpio(unpacked, offset)) throw new Error(`there is something else at its byte ${offset}`);
    const archive = readCpio(unpacked, offset);
    members.push(...archive.members);
    offset = skipZeros(unpacked, archive.end);
  }
  return members;
}

function skipZeros(bytes: Buffer, start: number): number {
  let offset = start;
  while (offset < bytes.length && bytes[offset] === 0) offset++;
  return offset;
}
