import { createHash } from 'node:crypto';
import { formatSize } from '../io/sizes.ts';
import { allocatedRuns, countClusters, packRuns } from './clusters.ts';
import { type Image, imageOf, roundUp, SECTOR_SIZE } from './image.ts';
import type { SurveyedImage } from './survey.ts';
import { BLOCK_SIZE, DATA_ALIGNMENT, encodeVdiHeader, MAP_OFFSET, MAX_SIZE, UNALLOCATED } from './vdi-format.ts';

/**
 * The image laid out as a dynamic VDI 1.1 file: header, block map, and the blocks of 1 MiB that hold data. The
 * virtual size is rounded up to a whole sector. The UUIDs come from the contents and the size, so that the same disk is
 * the same file, and different disks can be registered side by side in VirtualBox.
 *
 * @throws Error if the disk is too large for a block map in memory
 */
export function vdiImage(image: SurveyedImage): Image {
  const size = roundUp(image.size, SECTOR_SIZE);
  if (size > MAX_SIZE)
    throw new Error(`a VDI of ${formatSize(size)} is not supported: at most ${formatSize(MAX_SIZE)}`);
  const blocks = Math.ceil(size / BLOCK_SIZE);
  const runs = allocatedRuns(image, BLOCK_SIZE);
  const data = roundUp(MAP_OFFSET + 4 * blocks, DATA_ALIGNMENT);
  const bytes = Buffer.alloc(data);
  const uuid = (purpose: string) => contentUuid(`${purpose} ${size} ${image.identity}`);
  encodeVdiHeader(bytes, {
    size,
    blocks,
    allocated: countClusters(runs),
    data,
    uuid: uuid('image'),
    modificationUuid: uuid('modification'),
  });
  bytes.fill(UNALLOCATED, MAP_OFFSET, MAP_OFFSET + 4 * blocks);
  let allocated = 0;
  for (const { start, end } of runs) {
    for (let block = start; block < end; block++) bytes.writeUInt32LE(allocated++, MAP_OFFSET + 4 * block);
  }
  return imageOf([{ kind: 'bytes', length: data, bytes }, ...packRuns(image, runs, BLOCK_SIZE)]);
}

/** A UUID made from a digest (RFC 9562, version 8), with the first three fields little-endian as VDI keeps them. */
function contentUuid(text: string): Buffer {
  const bytes = createHash('sha256').update(text).digest().subarray(0, 16);
  bytes.writeUInt8(((bytes[7] ?? 0) & 0x0f) | 0x80, 7);
  bytes.writeUInt8(((bytes[8] ?? 0) & 0x3f) | 0x80, 8);
  return bytes;
}
