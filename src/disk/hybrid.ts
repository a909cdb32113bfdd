import { quote } from '../io/errors.ts';
import { type Image, imageReader, SECTOR_SIZE } from './image.ts';

/** Where the first volume descriptor has its identifier (ECMA-119, 8.1). */
const VOLUME_IDENTIFIER = 16 * 2048 + 1;
const PARTITION_TABLE = 446;
const PARTITION_ENTRY_LENGTH = 16;

/** Whether an image is an ISO 9660 file system. */
export async function isIso(image: Image): Promise<boolean> {
  return (await readAt(image, VOLUME_IDENTIFIER, 5)).toString('latin1') === 'CD001';
}

/**
 * Whether the first sector has a boot record with a partition, as `isohybrid` writes it: without, firmware doesn't boot
 * the image as a disk.
 */
export async function hasBootRecord(image: Image): Promise<boolean> {
  const sector = await readAt(image, 0, SECTOR_SIZE);
  if (sector.length < SECTOR_SIZE || sector.readUInt16BE(510) !== 0x55aa) return false;
  return [0, 1, 2, 3].some((i) => sector[PARTITION_TABLE + i * PARTITION_ENTRY_LENGTH + 4] !== 0);
}

/**
 * Refuses an ISO that isn't hybrid where it shall become a disk.
 *
 * @throws Error with the way out
 */
export async function assertBootableAsDisk(image: Image, name: string): Promise<void> {
  if (!(await isIso(image)) || (await hasBootRecord(image))) return;
  throw new Error(
    `${quote(name)} is an ISO without a boot record (not hybrid), so it can't boot as a disk: attach it as a CD-ROM, or make it hybrid with "isohybrid" first`,
  );
}

/** Bytes of an image; fewer at its end. */
function readAt(image: Image, offset: number, length: number): Promise<Buffer> {
  const start = Math.min(offset, image.size);
  return imageReader(image, 'the image').read(start, Math.min(length, image.size - start));
}
