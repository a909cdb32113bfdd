import type { Reader } from '../io/reader.ts';
import { ClaimedPlaces } from './claimed-places.ts';
import { ExtentList, type Image, roundUp, SECTOR_SIZE } from './image.ts';
import { damaged, unsupported } from './qcow2-header.ts';
import { DYNAMIC, FIRST_SPECIAL_ENTRY, FIXED, VERSION_1_1 } from './vdi-format.ts';

const HEADER_LENGTH = 512;
/** The UUIDs of a parent image, which a differencing image has. */
const PARENT_UUIDS = [424, 440];
/** The block map is read in pieces of this many entries. */
const ENTRIES_AT_ONCE = 65536;

interface VdiHeader {
  readonly map: number;
  readonly data: number;
  readonly size: number;
  readonly blockSize: number;
  readonly blocks: number;
}

/**
 * The contents of a VDI 1.1 file, dynamic or fixed. Only the block map is read here.
 *
 * @throws Error naming what isn't supported, or where the file is truncated or contradicts itself
 */
export async function openVdi(reader: Reader): Promise<Image> {
  const { map, data, size, blockSize, blocks } = await decodeVdiHeader(reader);
  const needed = Math.ceil(size / blockSize);
  const list = new ExtentList();
  // Blocks needn't be aligned in the file, so they are counted from the first one's place.
  const claimed = new ClaimedPlaces(reader, blockSize);
  for (let first = 0; first < needed; first += ENTRIES_AT_ONCE) {
    const count = Math.min(ENTRIES_AT_ONCE, needed - first);
    const entries = await reader.read(map + 4 * first, 4 * count);
    for (let i = 0; i < count; i++) {
      const length = Math.min(blockSize, size - list.size);
      const entry = entries.readUInt32LE(4 * i);
      if (entry >= FIRST_SPECIAL_ENTRY) list.push({ kind: 'zeros', length });
      else {
        if (entry >= blocks) throw damaged(reader, `its block map names block ${entry} of ${blocks}`);
        const offset = data + entry * blockSize;
        claimed.add(offset, length, 'a block');
        list.push({ kind: 'range', length, source: reader, offset });
      }
    }
  }
  return list.image();
}

async function decodeVdiHeader(reader: Reader): Promise<VdiHeader> {
  const bytes = await reader.read(0, HEADER_LENGTH);
  const version = bytes.readUInt32LE(68);
  if (version !== VERSION_1_1) {
    throw unsupported(reader, `it is a VDI of version ${version >>> 16}.${version & 0xffff}, and 1.1 is supported`);
  }
  const type = bytes.readUInt32LE(76);
  if (type !== DYNAMIC && type !== FIXED)
    throw unsupported(reader, `it is neither a dynamic nor a fixed VDI (${type})`);
  if (PARENT_UUIDS.some((at) => bytes.subarray(at, at + 16).some((byte) => byte !== 0))) {
    throw unsupported(reader, 'it has a parent image: merge them first, as with "VBoxManage clonemedium"');
  }
  const size = bytes.readBigUInt64LE(368);
  const blockSize = bytes.readUInt32LE(376);
  const blocks = bytes.readUInt32LE(384);
  if (blockSize < SECTOR_SIZE || (blockSize & (blockSize - 1)) !== 0 || bytes.readUInt32LE(380) !== 0) {
    throw unsupported(reader, `it has blocks of ${blockSize} bytes with ${bytes.readUInt32LE(380)} more before each`);
  }
  if (size > BigInt(blocks) * BigInt(blockSize)) {
    throw damaged(reader, `${blocks} blocks of ${blockSize} bytes don't hold a disk of ${size} bytes`);
  }
  return {
    map: bytes.readUInt32LE(340),
    data: bytes.readUInt32LE(344),
    size: roundUp(Number(size), SECTOR_SIZE),
    blockSize,
    blocks,
  };
}
