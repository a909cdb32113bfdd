/** Constants and the header of QCOW2 (docs/interop/qcow2.txt in QEMU). All integers are big-endian. */

export const MAGIC = 0x514649fb;
export const CLUSTER_BITS = 16;
/** The clusters that we write, in bytes. */
export const CLUSTER_SIZE = 2 ** CLUSTER_BITS;
/** Entries in an L2 table, or in one cluster of the L1 or the refcount table. */
export const ENTRIES_PER_TABLE = CLUSTER_SIZE / 8;
/** Upper half of an entry: bit 63, the cluster has exactly one reference. */
export const COPIED = 0x80000000;
/** Upper half of an L2 entry: bit 62, the cluster is compressed. */
export const COMPRESSED = 0x40000000;
/** Incompatible feature bit 3: the header names a compression type other than zlib. */
export const FEATURE_COMPRESSION_TYPE = 8;

const HEADER_LENGTH = 104;
const HEADER_LENGTH_WITH_COMPRESSION_TYPE = 112;
const REFCOUNT_ORDER = 4;

export type Compression = 'none' | 'zlib' | 'zstd';

export interface HeaderFields {
  readonly size: number;
  readonly l1Entries: number;
  readonly l1Table: number;
  readonly refcountTable: number;
  readonly refcountTableClusters: number;
  readonly compression?: Compression;
}

/** Writes a version 3 header into the beginning of `bytes`, which is zero. No header extensions follow. */
export function encodeHeader(bytes: Buffer, fields: HeaderFields): void {
  const zstd = fields.compression === 'zstd';
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(3, 4);
  bytes.writeUInt32BE(CLUSTER_BITS, 20);
  bytes.writeBigUInt64BE(BigInt(fields.size), 24);
  bytes.writeUInt32BE(fields.l1Entries, 36);
  bytes.writeBigUInt64BE(BigInt(fields.l1Table), 40);
  bytes.writeBigUInt64BE(BigInt(fields.refcountTable), 48);
  bytes.writeUInt32BE(fields.refcountTableClusters, 56);
  bytes.writeBigUInt64BE(BigInt(zstd ? FEATURE_COMPRESSION_TYPE : 0), 72);
  bytes.writeUInt32BE(REFCOUNT_ORDER, 96);
  bytes.writeUInt32BE(zstd ? HEADER_LENGTH_WITH_COMPRESSION_TYPE : HEADER_LENGTH, 100);
  if (zstd) bytes.writeUInt8(1, 104);
}
