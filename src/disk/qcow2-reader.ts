import type { Reader } from '../io/reader.ts';
import { ClaimedPlaces } from './claimed-places.ts';
import { CompressedClusters } from './compressed-clusters.ts';
import { ExtentList, type Image } from './image.ts';
import { COMPRESSED } from './qcow2-format.ts';
import { behindEnd, decodeHeader, hostOffset, type Qcow2Header } from './qcow2-header.ts';

/** Lower half of an L2 entry, version 3: the cluster reads as zeros. */
const ZERO_FLAG = 1;

/**
 * The contents of a QCOW2 file, version 2 or 3, with clusters that are plain, compressed with zlib or zstd, or absent.
 * Only the tables are read here. Snapshots are ignored.
 *
 * @throws Error naming what isn't supported (backing file, encryption, external data file, extended L2 entries), or
 *   where the file is truncated or contradicts itself
 */
export async function openQcow2(reader: Reader): Promise<Image> {
  const header = await decodeHeader(reader);
  await checkRefcounts(reader, header);
  const l1 = await reader.read(header.l1Table, header.l1Entries * 8);
  const walk = new TableWalk(reader, header, l1);
  for (let i = 0; walk.position < header.size; i++) await walk.l2Table(i);
  return walk.image();
}

/** Reading needs no refcounts, but a file that lost them lost more: a file cut off anywhere is refused. */
async function checkRefcounts(
  reader: Reader,
  { refcountTable, refcountTableSize, clusterSize }: Qcow2Header,
): Promise<void> {
  const table = await reader.read(refcountTable, refcountTableSize);
  for (let at = 0; at < table.length; at += 8) {
    const offset = table.readUInt32BE(at) * 2 ** 32 + table.readUInt32BE(at + 4);
    if (offset !== 0 && offset + clusterSize > reader.size) throw behindEnd(reader, 'a refcount block', offset);
  }
}

/** Goes through the tables in the order of the image, and collects what they say. */
class TableWalk {
  readonly #reader: Reader;
  readonly #header: Qcow2Header;
  readonly #l1: Buffer;
  readonly #list = new ExtentList();
  readonly #compressed: CompressedClusters;
  readonly #claimed: ClaimedPlaces;

  constructor(reader: Reader, header: Qcow2Header, l1: Buffer) {
    this.#reader = reader;
    this.#header = header;
    this.#l1 = l1;
    this.#compressed = new CompressedClusters(reader, header, l1);
    this.#claimed = new ClaimedPlaces(reader, header.clusterSize);
  }

  get position(): number {
    return this.#list.size;
  }

  image(): Image {
    return this.#list.image();
  }

  async l2Table(index: number): Promise<void> {
    const { clusterSize, size } = this.#header;
    const end = Math.min(size, this.position + (clusterSize / 8) * clusterSize);
    const offset = this.#hostOffset(this.#l1.readUInt32BE(8 * index), this.#l1.readUInt32BE(8 * index + 4));
    if (offset === 0) return this.#list.padTo(end);
    this.#claimed.add(offset, clusterSize, 'an L2 table');
    const table = await this.#reader.read(offset, clusterSize);
    for (let i = 0; this.position < end; i++) {
      const length = Math.min(clusterSize, end - this.position);
      this.#cluster(table.readUInt32BE(8 * i), table.readUInt32BE(8 * i + 4), length);
    }
  }

  #cluster(high: number, low: number, length: number): void {
    if (high & COMPRESSED) {
      this.#compressed.check(high, low);
      this.#list.push({ kind: 'range', length, source: this.#compressed, offset: this.position });
      return;
    }
    const offset = this.#hostOffset(high, low);
    const isZero = this.#header.version >= 3 && (low & ZERO_FLAG) !== 0;
    if (offset === 0 || isZero) this.#list.padTo(this.position + length);
    else {
      this.#claimed.add(offset, length, 'a cluster');
      this.#list.push({ kind: 'range', length, source: this.#reader, offset });
    }
  }

  #hostOffset(high: number, low: number): number {
    return hostOffset(this.#reader, this.#header.clusterSize, high, low);
  }
}
