import { quote } from '../io/errors.ts';
import type { Reader } from '../io/reader.ts';
import { fileImage, growImage, type Image, roundUp, SECTOR_SIZE } from './image.ts';
import { MAGIC } from './qcow2-format.ts';
import { openQcow2 } from './qcow2-reader.ts';
import { SIGNATURE } from './vdi-format.ts';
import { openVdi } from './vdi-reader.ts';

export type ImageFormat = 'raw' | 'qcow2' | 'vdi';

/** Beginnings of files that nobody means as a raw disk, with what to do about them. */
const NOT_RAW: readonly (readonly [magic: string, what: string])[] = [
  ['4b444d56', 'is a VMDK: convert it first, as with "qemu-img convert -O qcow2"'],
  ['7668647866696c65', 'is a VHDX: convert it first, as with "qemu-img convert -O qcow2"'],
  ['fd377a585a00', 'is compressed with xz: unpack it first'],
  ['1f8b08', 'is compressed with gzip: unpack it first'],
  ['28b52ffd', 'is compressed with zstd: unpack it first'],
];

/**
 * Opens a disk image as a virtual image: QCOW2 and VDI by their signatures, anything else as raw. The size is a
 * multiple of a sector, as QEMU sees it; the reader must stay open.
 *
 * @throws Error where the file is truncated, damaged, or needs a feature that isn't supported
 */
export async function openImage(reader: Reader): Promise<Image & { readonly format: ImageFormat }> {
  const start = await reader.read(0, Math.min(reader.size, SECTOR_SIZE));
  if (start.length >= 4 && start.readUInt32BE(0) === MAGIC) return { ...(await openQcow2(reader)), format: 'qcow2' };
  if (start.length >= 68 && start.readUInt32LE(64) === SIGNATURE) return { ...(await openVdi(reader)), format: 'vdi' };
  const known = NOT_RAW.find(([magic]) => start.toString('hex').startsWith(magic));
  if (known) throw new Error(`${quote(reader.name)} ${known[1]}`);
  const raw = fileImage(reader);
  return { ...growImage(raw, roundUp(raw.size, SECTOR_SIZE)), format: 'raw' };
}
