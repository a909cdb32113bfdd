import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import { AtomicFile } from '../io/atomic-file.ts';
import { noProgress } from '../io/progress.ts';
import { FileReader } from '../io/reader.ts';
import { allocatedRuns, countClusters } from './clusters.ts';
import { assertZstd } from './compressed-clusters.ts';
import { ExtentCursor, fileImage, type Image, readExtents, roundUp, SECTOR_SIZE } from './image.ts';
import { CLUSTER_SIZE, COMPRESSED, COPIED, type Compression, ENTRIES_PER_TABLE, encodeHeader } from './qcow2-format.ts';
import { encodeRefcountTable, planRefcounts } from './qcow2-layout.ts';
import { digestImages, explainFullDisk, type WriteOptions, type WrittenFile } from './write.ts';

/** QEMU unpacks with a window of 2^12 bytes and no zlib header. */
const ZLIB_WINDOW_BITS = 12;
/** So many clusters are compressed at once, on the threads that Node.js has for it. */
const CLUSTERS_AT_ONCE = 16;
/** Bits of a compressed entry that hold the place; the number of further sectors is above them. */
const PLACE_BITS = 62n - 8n;

/** Packs one cluster. */
type Compress = (cluster: Uint8Array) => Promise<Buffer>;

/**
 * Writes an image as a QCOW2 file with compressed clusters; those that don't shrink are kept plain. How long the parts
 * get is known only afterwards, so the tables lie behind the data, and the digest is made in a second pass.
 *
 * @throws Error as `writeImages` does, and where this Node.js has no zstd
 */
export async function writeCompressedQcow2(
  image: Image,
  path: string,
  options: WriteOptions & { readonly compression: Exclude<Compression, 'none'> },
): Promise<WrittenFile> {
  const { compression, force = false, signal, progress = noProgress, digest = true } = options;
  const compress = compressor(compression, path);
  await using file = await AtomicFile.create(path, { force });
  try {
    const writer = new CompressedWriter(file.handle, roundUp(image.size, SECTOR_SIZE));
    const runs = allocatedRuns(image, CLUSTER_SIZE);
    progress.total(countClusters(runs) * CLUSTER_SIZE);
    const cursor = new ExtentCursor(image);
    for (const { start, end } of runs) {
      cursor.skip(start * CLUSTER_SIZE - cursor.position);
      for (let first = start; first < end; first += CLUSTERS_AT_ONCE) {
        signal?.throwIfAborted();
        const count = Math.min(CLUSTERS_AT_ONCE, end - first);
        const bytes = Buffer.alloc(count * CLUSTER_SIZE);
        await readExtents([...cursor.take(bytes.length)], bytes);
        await writer.add(first, bytes, compress);
        progress.advance(bytes.length);
      }
    }
    const size = await writer.finish(compression);
    const sha256 = digest ? await digestFile(file.temporaryPath, path, signal) : '';
    await file.commit();
    return { path, size, sha256 };
  } catch (error) {
    throw explainFullDisk(error, [{ image, path }]);
  }
}

function compressor(compression: Exclude<Compression, 'none'>, path: string): Compress {
  if (compression === 'zlib') {
    const deflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflateRaw);
    return (cluster) => deflate(cluster, { windowBits: ZLIB_WINDOW_BITS });
  }
  assertZstd(path);
  const pack = promisify<Uint8Array, Buffer>(zlib.zstdCompress);
  return (cluster) => pack(cluster);
}

async function digestFile(path: string, name: string, signal: AbortSignal | undefined): Promise<string> {
  await using reader = await FileReader.open(path, name);
  const [digest = ''] = await digestImages([fileImage(reader)], { signal });
  return digest;
}

/** A QCOW2 file in the making: a place for the header, then data in the order it comes, then the tables. */
class CompressedWriter {
  readonly #handle: FileHandle;
  readonly #size: number;
  /** L2 tables by their index. */
  readonly #tables = new Map<number, Buffer>();
  /** References to each cluster of the file; several compressed ones share one. */
  readonly #refcounts: number[] = [1];
  /** The first byte behind all clusters in use. */
  #end = CLUSTER_SIZE;
  /** What is left of the cluster that compressed data was last put into. */
  #free = CLUSTER_SIZE;
  #freeEnd = CLUSTER_SIZE;

  constructor(handle: FileHandle, size: number) {
    this.#handle = handle;
    this.#size = size;
  }

  /** Adds clusters of the image, the first of them number `first`. */
  async add(first: number, bytes: Buffer, compress: Compress): Promise<void> {
    const clusters = Array.from({ length: bytes.length / CLUSTER_SIZE }, (_, i) =>
      bytes.subarray(i * CLUSTER_SIZE, (i + 1) * CLUSTER_SIZE),
    );
    const packed = await Promise.all(clusters.map(compress));
    for (const [i, cluster] of clusters.entries()) {
      const small = packed[i];
      if (small && small.length < CLUSTER_SIZE) await this.#addCompressed(first + i, small);
      else await this.#addPlain(first + i, cluster);
    }
  }

  /** Writes tables and header; returns the size of the file. */
  async finish(compression: Compression): Promise<number> {
    const used = [...this.#tables].sort(([a], [b]) => a - b);
    const l1Entries = Math.ceil(this.#size / (CLUSTER_SIZE * ENTRIES_PER_TABLE));
    const l1 = Buffer.alloc(roundUp(8 * l1Entries, CLUSTER_SIZE));
    for (const [index, table] of used) {
      l1.writeBigUInt64BE((BigInt(COPIED) << 32n) | BigInt(await this.#append(table)), 8 * index);
    }
    const l1Table = await this.#append(l1);
    const { refcountBlocks, refcountTable } = planRefcounts(this.#refcounts.length);
    const firstBlock = this.#end;
    const table = Buffer.alloc(refcountTable * CLUSTER_SIZE);
    encodeRefcountTable(table, firstBlock, refcountBlocks);
    this.#reserve(refcountBlocks * CLUSTER_SIZE);
    const tableOffset = await this.#append(table);
    const blocks = Buffer.alloc(refcountBlocks * CLUSTER_SIZE);
    this.#refcounts.forEach((count, i) => {
      blocks.writeUInt16BE(count, 2 * i);
    });
    await this.#write(blocks, firstBlock);
    const header = Buffer.alloc(CLUSTER_SIZE);
    encodeHeader(header, {
      size: this.#size,
      l1Entries,
      l1Table,
      refcountTable: tableOffset,
      refcountTableClusters: refcountTable,
      compression,
    });
    await this.#write(header, 0);
    return this.#end;
  }

  async #addCompressed(cluster: number, bytes: Buffer): Promise<void> {
    if (this.#free + bytes.length > this.#freeEnd) {
      if (this.#freeEnd !== this.#end) this.#free = this.#end;
      this.#freeEnd = this.#end + CLUSTER_SIZE;
      this.#end = this.#freeEnd;
    }
    const offset = this.#free;
    const last = offset + bytes.length - 1;
    this.#free = last + 1;
    for (let i = Math.floor(offset / CLUSTER_SIZE); i <= Math.floor(last / CLUSTER_SIZE); i++) {
      this.#refcounts[i] = (this.#refcounts[i] ?? 0) + 1;
    }
    const furtherSectors = Math.floor(last / SECTOR_SIZE) - Math.floor(offset / SECTOR_SIZE);
    const flag = BigInt(COMPRESSED) << 32n;
    this.#setEntry(cluster, flag | (BigInt(furtherSectors) << PLACE_BITS) | BigInt(offset));
    await this.#write(bytes, offset);
  }

  async #addPlain(cluster: number, bytes: Buffer): Promise<void> {
    this.#setEntry(cluster, (BigInt(COPIED) << 32n) | BigInt(await this.#append(bytes)));
  }

  #setEntry(cluster: number, entry: bigint): void {
    const index = Math.floor(cluster / ENTRIES_PER_TABLE);
    const table = this.#tables.get(index) ?? Buffer.alloc(CLUSTER_SIZE);
    this.#tables.set(index, table);
    table.writeBigUInt64BE(entry, 8 * (cluster % ENTRIES_PER_TABLE));
  }

  /** Writes whole clusters behind everything else; returns their place. */
  async #append(bytes: Buffer): Promise<number> {
    const offset = this.#reserve(bytes.length);
    await this.#write(bytes, offset);
    return offset;
  }

  #reserve(length: number): number {
    const offset = this.#end;
    this.#end += length;
    for (let i = offset / CLUSTER_SIZE; i < this.#end / CLUSTER_SIZE; i++) this.#refcounts[i] = 1;
    return offset;
  }

  async #write(bytes: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, offset + done);
      done += bytesWritten;
    }
  }
}
