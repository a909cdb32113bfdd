import { KiB, MiB } from '../io/sizes.ts';

/** Constants and the header of VDI 1.1 (VirtualBox's VDICore.h; block/vdi.c in QEMU). Integers are little-endian. */

export const SIGNATURE = 0xbeda107f;
export const VERSION_1_1 = 0x00010001;
export const BLOCK_SIZE = MiB;
/** The block map follows the header. */
export const MAP_OFFSET = 512;
/** VirtualBox aligns the blocks in the file like this. */
export const DATA_ALIGNMENT = MiB;
export const DYNAMIC = 1;
export const FIXED = 2;
/** Every byte of a map entry of a block that isn't in the file. */
export const UNALLOCATED = 0xff;
/** Map entries from here on are not places: 0xfffffffe is a zero block, 0xffffffff an unallocated one. */
export const FIRST_SPECIAL_ENTRY = 0xfffffffe;
/** The block map of the largest disk takes 32 MiB. */
export const MAX_SIZE = 8 * 1024 * 1024 * MiB;

const PREAMBLE = '<<< k4all virtual disk image >>>\n';
/** Length of the header from its own length field on. */
const HEADER_LENGTH = 400;
const SECTOR = KiB / 2;

export interface VdiFields {
  readonly size: number;
  readonly blocks: number;
  readonly allocated: number;
  /** Where the blocks start. */
  readonly data: number;
  readonly uuid: Buffer;
  readonly modificationUuid: Buffer;
}

/** Writes the preamble and the header into the first 512 bytes of `bytes`, which are zero. */
export function encodeVdiHeader(bytes: Buffer, fields: VdiFields): void {
  bytes.write(PREAMBLE, 0, 'latin1');
  bytes.writeUInt32LE(SIGNATURE, 64);
  bytes.writeUInt32LE(VERSION_1_1, 68);
  bytes.writeUInt32LE(HEADER_LENGTH, 72);
  bytes.writeUInt32LE(DYNAMIC, 76);
  bytes.writeUInt32LE(MAP_OFFSET, 340);
  bytes.writeUInt32LE(fields.data, 344);
  bytes.writeUInt32LE(SECTOR, 360);
  bytes.writeBigUInt64LE(BigInt(fields.size), 368);
  bytes.writeUInt32LE(BLOCK_SIZE, 376);
  bytes.writeUInt32LE(fields.blocks, 384);
  bytes.writeUInt32LE(fields.allocated, 388);
  fields.uuid.copy(bytes, 392);
  fields.modificationUuid.copy(bytes, 408);
}
