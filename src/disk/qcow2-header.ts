import { quote } from '../io/errors.ts';
import type { Reader } from '../io/reader.ts';
import { MiB } from '../io/sizes.ts';
import { roundUp, SECTOR_SIZE } from './image.ts';
import { type Compression, FEATURE_COMPRESSION_TYPE } from './qcow2-format.ts';

/** What reading needs of a header. Offsets and sizes are in bytes. */
export interface Qcow2Header {
  readonly version: number;
  readonly clusterSize: number;
  readonly clusterBits: number;
  readonly size: number;
  readonly l1Table: number;
  readonly l1Entries: number;
  readonly refcountTable: number;
  readonly refcountTableSize: number;
  readonly compression: Compression;
}

/** QEMU's own limits. */
const MAX_L1_SIZE = 32 * MiB;
const MAX_REFCOUNT_TABLE_SIZE = 8 * MiB;
const V2_HEADER_LENGTH = 72;
const V3_HEADER_LENGTH = 104;

/** Incompatible features by bit that change how data is read; bit 0 (dirty) only says that refcounts may be stale. */
const REFUSED_FEATURES: readonly (readonly [bit: number, what: string])[] = [
  [1, 'it is marked as corrupt: repair it with "qemu-img check -r all"'],
  [2, 'it keeps its data in another file: convert it with "qemu-img convert -O qcow2"'],
  [4, 'it has extended L2 entries: convert it with "qemu-img convert -O qcow2"'],
];
const DIRTY = 1n;

/** Reads and checks the header; it says which features need another tool. */
export async function decodeHeader(reader: Reader): Promise<Qcow2Header> {
  const bytes = await reader.read(0, V2_HEADER_LENGTH);
  const version = bytes.readUInt32BE(4);
  if (version !== 2 && version !== 3) throw unsupported(reader, `version ${version} is not known`);
  if (bytes.readBigUInt64BE(8) !== 0n) {
    throw unsupported(reader, 'it has a backing file: flatten it with "qemu-img convert -O qcow2"');
  }
  if (bytes.readUInt32BE(32) !== 0) throw unsupported(reader, 'it is encrypted');
  const clusterBits = bytes.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw damaged(reader, `clusters of 2^${clusterBits} bytes`);
  const clusterSize = 2 ** clusterBits;
  const size = safe(reader, bytes.readBigUInt64BE(24), 'the virtual size');
  const l1Entries = bytes.readUInt32BE(36);
  const l1Table = safe(reader, bytes.readBigUInt64BE(40), 'the place of the L1 table');
  if (l1Entries * 8 > MAX_L1_SIZE || l1Entries < Math.ceil(size / (clusterSize * (clusterSize / 8)))) {
    throw damaged(reader, `an L1 table of ${l1Entries} entries doesn't fit a disk of ${size} bytes`);
  }
  const refcountTable = safe(reader, bytes.readBigUInt64BE(48), 'the place of the refcount table');
  const refcountTableSize = bytes.readUInt32BE(56) * clusterSize;
  if (refcountTableSize > MAX_REFCOUNT_TABLE_SIZE) {
    throw damaged(reader, `a refcount table of ${refcountTableSize} bytes`);
  }
  const compression = version === 3 ? await decodeFeatures(reader) : 'zlib';
  return {
    version,
    clusterBits,
    clusterSize,
    size: roundUp(size, SECTOR_SIZE),
    l1Table,
    l1Entries,
    refcountTable,
    refcountTableSize,
    compression,
  };
}

async function decodeFeatures(reader: Reader): Promise<Compression> {
  const bytes = await reader.read(0, V3_HEADER_LENGTH);
  const features = bytes.readBigUInt64BE(72);
  for (const [bit, what] of REFUSED_FEATURES) {
    if (features & (1n << BigInt(bit))) throw unsupported(reader, what);
  }
  if (features & ~(DIRTY | BigInt(FEATURE_COMPRESSION_TYPE))) {
    throw unsupported(reader, `it needs features that are not known (0x${features.toString(16)})`);
  }
  const headerLength = bytes.readUInt32BE(100);
  if (headerLength < V3_HEADER_LENGTH) throw damaged(reader, `its header claims ${headerLength} bytes`);
  const type = headerLength > V3_HEADER_LENGTH ? (await reader.read(V3_HEADER_LENGTH, 1)).readUInt8() : 0;
  if (type > 1) throw unsupported(reader, `compression type ${type} is not known`);
  return type === 1 ? 'zstd' : 'zlib';
}

function safe(reader: Reader, value: bigint, what: string): number {
  if (value > 2n ** 52n) throw damaged(reader, `${what} is ${value}`);
  return Number(value);
}

/** Upper half of an L1 or an uncompressed L2 entry: bits 56 to 62 must be 0, the lower 24 belong to the offset. */
const RESERVED = 0x7f000000;
const OFFSET_HIGH = 0x00ffffff;
/** Lower half: bits 9 to 31 belong to the offset. */
const OFFSET_LOW = 0xfffffe00;

/** Where an entry of an L1 table, or of an uncompressed L2 table, points to; 0 if nowhere. */
export function hostOffset(reader: Reader, clusterSize: number, high: number, low: number): number {
  const offset = (high & OFFSET_HIGH) * 2 ** 32 + ((low & OFFSET_LOW) >>> 0);
  if (high & RESERVED || offset % clusterSize !== 0) {
    throw damaged(reader, 'an entry of its tables has reserved bits set or points into the middle of a cluster');
  }
  return offset;
}

export function damaged(reader: Reader, what: string): Error {
  return new Error(`${quote(reader.name)} is damaged: ${what}`);
}

export function unsupported(reader: Pick<Reader, 'name'>, what: string): Error {
  return new Error(`${quote(reader.name)} can't be read: ${what}`);
}

export function behindEnd(reader: Reader, what: string, offset: number): Error {
  return new Error(
    `${quote(reader.name)} is truncated or damaged: ${what} at ${offset} lies behind its end at ${reader.size}`,
  );
}
