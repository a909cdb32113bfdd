import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { messageOf, quote } from '../io/errors.ts';
import type { Reader } from '../io/reader.ts';
import { COMPRESSED } from './qcow2-format.ts';
import { behindEnd, hostOffset, type Qcow2Header, unsupported } from './qcow2-header.ts';
import { zstdFrameLength } from './zstd-frame.ts';

const SECTOR = 512n;
const inflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflateRaw);

/**
 * The compressed clusters of a QCOW2 file at their places in the image; other clusters read as zeros here and are to be
 * found elsewhere. Nothing but the table in use is kept in memory.
 */
export class CompressedClusters implements Reader {
  readonly name: string;
  readonly size: number;
  readonly #reader: Reader;
  readonly #header: Qcow2Header;
  readonly #l1: Buffer;
  #tableOffset = 0;
  #table: Promise<Buffer> | undefined;

  constructor(reader: Reader, header: Qcow2Header, l1: Buffer) {
    this.name = reader.name;
    this.size = header.size;
    this.#reader = reader;
    this.#header = header;
    this.#l1 = l1;
  }

  /** Checks an entry: what it points to begins inside the file, and the compression is one that this Node.js knows. */
  check(high: number, low: number): void {
    const { offset } = this.#place(high, low);
    if (offset >= this.#reader.size) throw behindEnd(this.#reader, 'a compressed cluster', offset);
    if (this.#header.compression === 'zstd') assertZstd(this.#reader.name);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.alloc(length);
    await this.readInto(buffer, offset);
    return buffer;
  }

  async readInto(buffer: Uint8Array, offset: number): Promise<void> {
    const { clusterSize } = this.#header;
    const work: Promise<void>[] = [];
    for (let cluster = Math.floor(offset / clusterSize); cluster * clusterSize < offset + buffer.length; cluster++) {
      work.push(this.#copy(cluster, buffer, offset));
    }
    // All have to be over before the buffer may be used for something else.
    const results = await Promise.allSettled(work);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Puts the part of a cluster that a buffer wants into it. */
  async #copy(cluster: number, buffer: Uint8Array, offset: number): Promise<void> {
    const start = cluster * this.#header.clusterSize;
    const end = Math.min(start + this.#header.clusterSize, offset + buffer.length);
    const target = buffer.subarray(Math.max(0, start - offset), end - offset);
    const bytes = await this.#decompress(cluster);
    if (bytes) target.set(bytes.subarray(Math.max(0, offset - start), end - start));
    else target.fill(0);
  }

  async #decompress(cluster: number): Promise<Buffer | undefined> {
    const { clusterSize, compression } = this.#header;
    const table = await this.#l2Table(Math.floor(cluster / (clusterSize / 8)));
    const at = (cluster % (clusterSize / 8)) * 8;
    if (!table || !(table.readUInt32BE(at) & COMPRESSED)) return undefined;
    const { offset, length } = this.#place(table.readUInt32BE(at), table.readUInt32BE(at + 4));
    const packed = await this.#reader.read(offset, Math.min(length, this.#reader.size - offset));
    try {
      const bytes = await (compression === 'zstd' ? unzstd(packed, clusterSize) : unzlib(packed, clusterSize));
      if (bytes.length === clusterSize) return bytes;
      throw new Error(`it unpacks to ${bytes.length} bytes`);
    } catch (error) {
      throw new Error(
        `${quote(this.name)} is truncated or damaged: the compressed cluster at ${offset}: ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  async #l2Table(index: number): Promise<Buffer | undefined> {
    if (8 * index >= this.#l1.length) return undefined;
    const [high, low] = [this.#l1.readUInt32BE(8 * index), this.#l1.readUInt32BE(8 * index + 4)];
    const offset = hostOffset(this.#reader, this.#header.clusterSize, high, low);
    if (offset === 0) return undefined;
    if (offset !== this.#tableOffset || !this.#table) {
      this.#tableOffset = offset;
      this.#table = this.#reader.read(offset, this.#header.clusterSize);
    }
    return this.#table;
  }

  /** Where a compressed cluster lies: the entry counts the 512-byte sectors that it touches besides the first. */
  #place(high: number, low: number): { offset: number; length: number } {
    const entry = (BigInt(high & 0x3fffffff) << 32n) | BigInt(low);
    const offsetBits = BigInt(62 - (this.#header.clusterBits - 8));
    const offset = entry & ((1n << offsetBits) - 1n);
    const length = ((entry >> offsetBits) + 1n) * SECTOR - (offset % SECTOR);
    return { offset: Number(offset), length: Number(length) };
  }
}

async function unzlib(packed: Buffer, clusterSize: number): Promise<Buffer> {
  return inflate(packed, { maxOutputLength: clusterSize });
}

async function unzstd(packed: Buffer, clusterSize: number): Promise<Buffer> {
  // The rest of the last sector belongs to the next cluster, and the decoder would stumble over it.
  const frame = packed.subarray(0, zstdFrameLength(packed));
  return promisify<Uint8Array, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress)(frame, { maxOutputLength: clusterSize });
}

/** @throws Error where Node.js has no zstd (before 22.15) */
export function assertZstd(name: string): void {
  if (typeof zlib.zstdDecompress === 'function') return;
  throw unsupported(
    { name },
    `zstd needs Node.js 22.15 or newer, and this is ${process.version}: use a newer one, or zlib`,
  );
}
