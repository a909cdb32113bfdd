import { allocatedRuns, type ClusterRun, countClusters, packRuns } from './clusters.ts';
import { type Image, imageOf, roundUp, SECTOR_SIZE } from './image.ts';
import { CLUSTER_SIZE, COPIED, ENTRIES_PER_TABLE, encodeHeader } from './qcow2-format.ts';

/** Refcounts have 16 bits (refcount_order 4), so a block of one cluster counts this many clusters. */
const REFCOUNTS_PER_BLOCK = CLUSTER_SIZE / 2;

/** The parts of a QCOW2 file in their order, in clusters. */
interface Plan {
  refcountTable: number;
  refcountBlocks: number;
  l1Table: number;
  l1Entries: number;
  l2Tables: number;
  data: number;
}

/**
 * The image laid out as a QCOW2 file: version 3, clusters of 64 KiB, tables in front of the data, zero extents
 * unallocated. The virtual size is rounded up to a whole sector. Format: docs/interop/qcow2.txt in QEMU.
 */
export function qcow2Image(image: Image): Image {
  const size = roundUp(image.size, SECTOR_SIZE);
  const runs = allocatedRuns(image, CLUSTER_SIZE);
  const used = usedL2Tables(runs);
  const plan = planClusters(size, used.length, countClusters(runs));
  const metadata = encodeMetadata(size, runs, used, plan);
  return imageOf([{ kind: 'bytes', length: metadata.length, bytes: metadata }, ...packRuns(image, runs, CLUSTER_SIZE)]);
}

/** Which L2 tables hold anything, ascending. */
function usedL2Tables(runs: readonly ClusterRun[]): number[] {
  const used: number[] = [];
  for (const { start, end } of runs) {
    const first = Math.floor(start / ENTRIES_PER_TABLE);
    const last = Math.floor((end - 1) / ENTRIES_PER_TABLE);
    for (let table = Math.max(first, (used.at(-1) ?? -1) + 1); table <= last; table++) used.push(table);
  }
  return used;
}

function planClusters(size: number, l2Tables: number, data: number): Plan {
  const l1Entries = Math.ceil(size / (CLUSTER_SIZE * ENTRIES_PER_TABLE));
  const l1Table = Math.ceil(l1Entries / ENTRIES_PER_TABLE);
  return { ...planRefcounts(1 + l1Table + l2Tables + data), l1Table, l1Entries, l2Tables, data };
}

/** How many clusters count `others` clusters and themselves. */
export function planRefcounts(others: number): { refcountTable: number; refcountBlocks: number } {
  let refcountTable = 1;
  let refcountBlocks = 1;
  for (;;) {
    const blocks = Math.ceil((others + refcountTable + refcountBlocks) / REFCOUNTS_PER_BLOCK);
    const table = Math.max(1, Math.ceil(blocks / ENTRIES_PER_TABLE));
    if (blocks === refcountBlocks && table === refcountTable) return { refcountTable, refcountBlocks };
    refcountBlocks = blocks;
    refcountTable = table;
  }
}

function encodeMetadata(size: number, runs: readonly ClusterRun[], used: readonly number[], plan: Plan): Buffer {
  const refcountTable = CLUSTER_SIZE;
  const refcountBlocks = refcountTable + plan.refcountTable * CLUSTER_SIZE;
  const l1Table = refcountBlocks + plan.refcountBlocks * CLUSTER_SIZE;
  const l2Tables = l1Table + plan.l1Table * CLUSTER_SIZE;
  const data = l2Tables + plan.l2Tables * CLUSTER_SIZE;
  const bytes = Buffer.alloc(data);
  encodeHeader(bytes, {
    size,
    l1Entries: plan.l1Entries,
    l1Table,
    refcountTable,
    refcountTableClusters: plan.refcountTable,
  });
  const clusters = data / CLUSTER_SIZE + plan.data;
  encodeRefcountTable(bytes.subarray(refcountTable), refcountBlocks, plan.refcountBlocks);
  for (let i = 0; i < clusters; i++) bytes.writeUInt16BE(1, refcountBlocks + 2 * i);
  used.forEach((table, i) => {
    writeEntry(bytes, l1Table + 8 * table, l2Tables + i * CLUSTER_SIZE);
  });
  encodeL2Tables(bytes.subarray(l2Tables, data), runs, used, data);
  return bytes;
}

/** One entry per refcount block; the blocks lie one after another. */
export function encodeRefcountTable(table: Buffer, firstBlock: number, blocks: number): void {
  for (let i = 0; i < blocks; i++) table.writeBigUInt64BE(BigInt(firstBlock + i * CLUSTER_SIZE), 8 * i);
}

/** Fills the L2 tables, which lie one after another; the data clusters follow each other from `data` on. */
function encodeL2Tables(tables: Buffer, runs: readonly ClusterRun[], used: readonly number[], data: number): void {
  const places = new Map(used.map((table, place) => [table, place]));
  let host = data;
  for (const { start, end } of runs) {
    for (let cluster = start; cluster < end; cluster++) {
      const place = places.get(Math.floor(cluster / ENTRIES_PER_TABLE)) ?? 0;
      writeEntry(tables, 8 * (place * ENTRIES_PER_TABLE + (cluster % ENTRIES_PER_TABLE)), host);
      host += CLUSTER_SIZE;
    }
  }
}

/** An L1 or L2 entry whose cluster has exactly one reference. */
function writeEntry(bytes: Buffer, at: number, host: number): void {
  bytes.writeUInt32BE((COPIED | Math.floor(host / 2 ** 32)) >>> 0, at);
  bytes.writeUInt32BE(host % 2 ** 32, at + 4);
}
