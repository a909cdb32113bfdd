import type { Reader } from '../io/reader.ts';
import type { IsoEntry, IsoFileSystem } from './iso9660.ts';
import { SECTOR } from './iso9660.ts';

export type Architecture = 'x86_64' | 'aarch64' | 'ppc64le' | 's390x';

/** Files that only one architecture's boot loader uses. */
const MARKERS: readonly (readonly [string, Architecture])[] = [
  ['images/cdboot.img', 's390x'],
  ['generic.ins', 's390x'],
  ['ppc/bootinfo.txt', 'ppc64le'],
  ['boot/grub/powerpc-ieee1275', 'ppc64le'],
  ['EFI/BOOT/BOOTAA64.EFI', 'aarch64'],
  ['EFI/BOOT/GRUBAA64.EFI', 'aarch64'],
  ['EFI/BOOT/BOOTX64.EFI', 'x86_64'],
  ['EFI/BOOT/GRUBX64.EFI', 'x86_64'],
  ['isolinux/isolinux.bin', 'x86_64'],
  ['isolinux/isolinux.cfg', 'x86_64'],
];
const KERNELS = ['images/pxeboot/vmlinuz', 'images/pxeboot/kernel.img'];
const EFI_IMAGE = 'images/efiboot.img';
/** How much of the FAT image is searched for the boot loader's 8.3 names; they stand in its first directories. */
const EFI_SEARCH_SIZE = 16 * 1024 * 1024;

const PE_MACHINES: Readonly<Record<number, Architecture>> = { 34404: 'x86_64', 43620: 'aarch64' };
const ELF_MACHINES: Readonly<Record<number, Architecture>> = {
  21: 'ppc64le',
  22: 's390x',
  62: 'x86_64',
  183: 'aarch64',
};

/**
 * Tells a live ISO's architecture, which no metadata names: by the boot loader's files, the kernel's header, the UEFI
 * boot image, and last by how it can be booted.
 */
export async function detectArchitecture(reader: Reader, files: IsoFileSystem): Promise<Architecture> {
  for (const [path, architecture] of MARKERS) if (await files.find(path)) return architecture;
  for (const path of KERNELS) {
    const entry = await files.find(path);
    const architecture = entry && (await kernelArchitecture(files.open(entry)));
    if (architecture) return architecture;
  }
  const efi = await files.find(EFI_IMAGE);
  const fromEfi = efi && (await efiArchitecture(files, efi));
  return fromEfi ?? (await bootArchitecture(reader, files));
}

/** The architecture of a Linux kernel image, by its headers; undefined for what isn't recognised. */
async function kernelArchitecture(kernel: Reader): Promise<Architecture | undefined> {
  const head = await kernel.read(0, Math.min(kernel.size, 4096));
  if (head.length < 0x206) return undefined;
  // Documentation/arch/x86/boot.rst, Documentation/arch/arm64/booting.rst
  if (head.toString('latin1', 0x38, 0x3c) === 'ARM\x64') return 'aarch64';
  if (head.toString('latin1', 0x202, 0x206) === 'HdrS') return 'x86_64';
  if (head.toString('latin1', 0, 4) === '\x7fELF') {
    const bigEndian = head[5] === 2;
    return ELF_MACHINES[bigEndian ? head.readUInt16BE(18) : head.readUInt16LE(18)];
  }
  const peHeader = head.readUInt32LE(0x3c);
  if (head.toString('latin1', 0, 2) === 'MZ' && peHeader + 6 <= head.length) {
    return PE_MACHINES[head.readUInt16LE(peHeader + 4)];
  }
  return undefined;
}

async function efiArchitecture(files: IsoFileSystem, entry: IsoEntry): Promise<Architecture | undefined> {
  const image = files.open(entry);
  const bytes = await image.read(0, Math.min(image.size, EFI_SEARCH_SIZE));
  if (bytes.includes('BOOTAA64EFI')) return 'aarch64';
  return bytes.includes('BOOTX64 EFI') ? 'x86_64' : undefined;
}

/** El Torito names a platform: 0 is a PC's BIOS (which s390x uses too, but that was recognised before), 2 and 3 aren't. */
async function bootArchitecture(reader: Reader, files: IsoFileSystem): Promise<Architecture> {
  if (files.bootCatalog !== undefined && (files.bootCatalog + 1) * SECTOR <= reader.size) {
    const platform = (await reader.read(files.bootCatalog * SECTOR, 2))[1];
    if (platform === 0) return 'x86_64';
    if (platform === 0xef) return 'aarch64';
  }
  return (await files.find('ppc')) ? 'ppc64le' : 'x86_64';
}
