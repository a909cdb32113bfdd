/** What a boot sector does when it has said its text. */
export type Then = 'halt' | 'power-off';

const LOAD_ADDRESS = 0x7c00;
const TEXT_OFFSET = 64;
/** The BIOS of QEMU doesn't boot a disk without a whole cylinder. */
const DISK_SIZE = 1024 ** 2;

/**
 * A disk whose first sector writes a text to the first serial port: the smallest image that boots (BIOS).
 *
 * @param text at most 440 bytes
 */
export function bootSector(text: string, then: Then = 'halt'): Buffer {
  const sector = Buffer.alloc(DISK_SIZE);
  const ending =
    then === 'power-off'
      ? // mov dx, 0x604; mov ax, 0x2000; out dx, ax: ACPI's soft off on QEMU's machines
        [0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef]
      : [];
  sector.set(
    [
      ...[0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
      ...[0xbe, TEXT_OFFSET, LOAD_ADDRESS >> 8], // mov si, text
      ...[0xac, 0x84, 0xc0, 0x74, 0x11], // next: lodsb; test al, al; jz done
      ...[0x88, 0xc3, 0xba, 0xfd, 0x03], // mov bl, al; mov dx, 0x3fd
      ...[0xec, 0xa8, 0x20, 0x74, 0xfb], // wait: in al, dx; test al, 0x20; jz wait
      ...[0x88, 0xd8, 0xb2, 0xf8, 0xee], // mov al, bl; mov dl, 0xf8; out dx, al
      ...[0xeb, 0xea], // jmp next
      ...ending, // done:
      ...[0xf4, 0xeb, 0xfd], // hlt; jmp hlt
    ],
    0,
  );
  const bytes = Buffer.from(text);
  if (bytes.length > 440) throw new Error('the text does not fit into a boot sector');
  sector.set(bytes, TEXT_OFFSET);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
