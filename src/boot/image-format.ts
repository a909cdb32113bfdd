import { open } from 'node:fs/promises';
import { messageOf } from '../io/errors.ts';

/** What an image is by its own bytes; the name plays no part. */
export interface ImageKind {
  /** QEMU's name of the format; an ISO 9660 image is `raw`. */
  readonly format: 'raw' | 'qcow2' | 'vdi';
  /** Whether it holds an ISO 9660 file system. */
  readonly iso: boolean;
  /** For raw images and ISOs: whether sector 0 has a boot signature, without which no firmware boots it as a disk. */
  readonly bootSector: boolean;
}

const QCOW_MAGIC = Buffer.from('QFI\xfb', 'latin1');
/** VDI pre-header: a text of 64 bytes, then the signature (VirtualBox, VDICore.h). */
const VDI_SIGNATURE_OFFSET = 64;
const VDI_SIGNATURE = 0xbeda107f;
/** Standard identifier of the first volume descriptor, ECMA-119 section 8.1.2. */
const ISO_IDENTIFIER_OFFSET = 16 * 2048 + 1;
const BOOT_SIGNATURE_OFFSET = 510;
const HEAD_LENGTH = ISO_IDENTIFIER_OFFSET + 5;

/** Reads the first bytes of an image. @throws Error if the file can't be read or is empty */
export async function detectImage(path: string): Promise<ImageKind> {
  await using file = await open(path, 'r').catch((error: unknown) => {
    throw new Error(`the image can't be opened: ${messageOf(error)}`, { cause: error });
  });
  const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD_LENGTH), 0, HEAD_LENGTH, 0);
  if (bytesRead === 0) throw new Error(`${path} is empty: there is nothing to boot`);
  return imageKind(buffer.subarray(0, bytesRead));
}

/** The kind of an image from its first 32,774 bytes, or fewer if it is shorter. */
export function imageKind(head: Buffer): ImageKind {
  if (head.subarray(0, 4).equals(QCOW_MAGIC)) return { format: 'qcow2', iso: false, bootSector: true };
  if (head.length >= VDI_SIGNATURE_OFFSET + 4 && head.readUInt32LE(VDI_SIGNATURE_OFFSET) === VDI_SIGNATURE) {
    return { format: 'vdi', iso: false, bootSector: true };
  }
  return {
    format: 'raw',
    iso: head.toString('latin1', ISO_IDENTIFIER_OFFSET) === 'CD001',
    bootSector: head.length >= 512 && head.readUInt16LE(BOOT_SIGNATURE_OFFSET) === 0xaa55,
  };
}
