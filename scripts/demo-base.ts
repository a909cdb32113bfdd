/**
 * Makes a small ISO in the shape of a Fedora CoreOS live ISO: the same areas, JSON files and hybrid layout, but neither
 * kernel nor root file system, so that it doesn't boot. For `npm start`, tests and benches.
 *
 *     node scripts/demo-base.ts FILE [size of the root file system, as 1G]
 *
 * ISO 9660 is ECMA-119; the live ISO's own files are those that coreos-assembler writes.
 */
import { createCipheriv } from 'node:crypto';
import { AtomicFile } from '../src/io/atomic-file.ts';
import { MiB, parseSize } from '../src/io/sizes.ts';

export const DEMO_RELEASE = '44.20261101.3.0';
const SECTOR = 2048;
const SYSTEM_AREA_SECTORS = 16;
const IGNITION_AREA_SIZE = 256 * 1024;
const KARGS_SIZE = 1137;
const KARGS_DEFAULT = `coreos.liveiso=fedora-coreos-${DEMO_RELEASE} ignition.firstboot ignition.platform.id=metal`;

interface DemoFile {
  readonly name: string;
  readonly size: number;
  /** Undefined for the one large file, whose bytes are made while it is written. */
  readonly bytes?: Buffer;
}

interface DemoFolder {
  readonly name: string;
  readonly entries: readonly (DemoFile | DemoFolder)[];
}

/** Where a file or folder lies: its first sector and its length in bytes. */
interface Extent {
  readonly sector: number;
  readonly size: number;
}

/** Writes a demo base. The same arguments give the same bytes. */
export async function writeDemoBase(
  path: string,
  options: { rootfsSize?: number; force?: boolean } = {},
): Promise<void> {
  const { rootfsSize = MiB, force = true } = options;
  const root = demoTree(rootfsSize);
  const extents = layOut(root);
  const last = Math.max(...[...extents.values()].map(({ sector, size }) => sector + sectors(size)));
  await using file = await AtomicFile.create(path, { force });
  // Everything but the large file, which lies behind it.
  const rootfs = extents.get(findFile(root, 'ROOTFS.IMG')) as Extent;
  const head = Buffer.alloc(rootfs.sector * SECTOR);
  writeMasterBootRecord(head, last);
  writeDescriptors(head, root, extents, last);
  for (const [entry, extent] of extents) {
    if ('entries' in entry) writeFolder(head, entry, extents, parentOf(root, entry) ?? root);
    else entry.bytes?.copy(head, extent.sector * SECTOR);
  }
  await file.handle.write(head, 0, head.length, 0);
  await writeNoise(file, rootfs);
  await file.handle.truncate(last * SECTOR);
  await file.commit();
}

function demoTree(rootfsSize: number): DemoFolder {
  const grub = bootConfig('linux /images/pxeboot/vmlinuz ');
  const isolinux = bootConfig('append initrd=/images/pxeboot/initrd.img,/images/ignition.img ');
  const kargs = {
    default: KARGS_DEFAULT,
    files: [
      { path: 'EFI/fedora/grub.cfg', offset: grub.offset, end: '\n', pad: '#' },
      { path: 'isolinux/isolinux.cfg', offset: isolinux.offset, end: '\n', pad: '#' },
    ],
    size: KARGS_SIZE,
  };
  const features = {
    'installer-config': true,
    'installer-config-directives': { dest: true },
    'live-initrd-network': true,
  };
  return folder('', [
    folder('COREOS', [
      json('FEATURES.JSO', features),
      json('IGNINFO.JSO', { file: 'images/ignition.img' }),
      json('KARGS.JSO', kargs),
    ]),
    folder('EFI', [folder('FEDORA', [file('GRUB.CFG', grub.bytes)])]),
    folder('IMAGES', [
      file('IGNITION.IMG', Buffer.alloc(IGNITION_AREA_SIZE)),
      folder('PXEBOOT', [
        file('INITRD.IMG', Buffer.from('not an initramfs\n')),
        { name: 'ROOTFS.IMG', size: rootfsSize },
        file('VMLINUZ', Buffer.from('not a kernel\n')),
      ]),
    ]),
    folder('ISOLINUX', [file('ISOLINUX.CFG', isolinux.bytes)]),
  ]);
}

function folder(name: string, entries: readonly (DemoFile | DemoFolder)[]): DemoFolder {
  return { name, entries };
}

function file(name: string, bytes: Buffer): DemoFile {
  return { name, size: bytes.length, bytes };
}

function json(name: string, value: unknown): DemoFile {
  return file(name, Buffer.from(`${JSON.stringify(value)}\n`));
}

/** A boot loader configuration with a kernel-argument area: arguments, a newline, then `#` up to the area's size. */
function bootConfig(command: string): { bytes: Buffer; offset: number } {
  const before = `### demo base: does not boot\n${command}`;
  const area = `${KARGS_DEFAULT}\n`.padEnd(KARGS_SIZE, '#');
  return { bytes: Buffer.from(`${before}${area}\n`), offset: before.length };
}

function* walk(folder: DemoFolder): Generator<DemoFile | DemoFolder> {
  yield folder;
  for (const entry of folder.entries) {
    if ('entries' in entry) yield* walk(entry);
    else yield entry;
  }
}

function findFile(root: DemoFolder, name: string): DemoFile {
  for (const entry of walk(root)) if (entry.name === name && !('entries' in entry)) return entry;
  throw new Error(`the demo tree has no ${name}`);
}

function parentOf(root: DemoFolder, child: DemoFolder): DemoFolder | undefined {
  for (const entry of walk(root)) if ('entries' in entry && entry.entries.includes(child)) return entry;
  return undefined;
}

/** Folders first, one sector each, then the files in tree order, and the large one last. */
function layOut(root: DemoFolder): Map<DemoFile | DemoFolder, Extent> {
  const entries = [...walk(root)];
  const rank = (entry: DemoFile | DemoFolder) => ('entries' in entry ? 0 : entry.bytes ? 1 : 2);
  // Volume descriptor, terminator and the two path tables lie between the system area and the first folder.
  let sector = SYSTEM_AREA_SECTORS + 4;
  const extents = new Map<DemoFile | DemoFolder, Extent>();
  for (const entry of entries.sort((a, b) => rank(a) - rank(b))) {
    const size = 'entries' in entry ? SECTOR : entry.size;
    extents.set(entry, { sector, size });
    sector += sectors(size);
  }
  return extents;
}

function sectors(size: number): number {
  return Math.ceil(size / SECTOR);
}

/** A partition over the whole image, as isohybrid makes it, is what tells a hybrid ISO from a plain one. */
function writeMasterBootRecord(image: Buffer, lastSector: number): void {
  image.write('demo base: does not boot', 0, 'latin1');
  const entry = 446;
  image[entry] = 0x80;
  image[entry + 4] = 0x17;
  image.writeUInt32LE(lastSector * (SECTOR / 512), entry + 12);
  image.writeUInt16LE(0xaa55, 510);
}

function writeDescriptors(
  image: Buffer,
  root: DemoFolder,
  extents: Map<DemoFile | DemoFolder, Extent>,
  last: number,
): void {
  const tables = [SYSTEM_AREA_SECTORS + 2, SYSTEM_AREA_SECTORS + 3] as const;
  const folders = [...walk(root)].filter((entry) => 'entries' in entry);
  const [little, big] = pathTables(root, folders, extents);
  little.copy(image, tables[0] * SECTOR);
  big.copy(image, tables[1] * SECTOR);
  const primary = image.subarray(SYSTEM_AREA_SECTORS * SECTOR, (SYSTEM_AREA_SECTORS + 1) * SECTOR);
  primary.write('\x01CD001\x01', 0, 'latin1');
  primary.fill(' ', 8, 72);
  primary.write(`fedora-coreos-${DEMO_RELEASE}`, 40, 'latin1');
  both32(primary, 80, last);
  both16(primary, 120, 1);
  both16(primary, 124, 1);
  both16(primary, 128, SECTOR);
  both32(primary, 132, little.length);
  primary.writeUInt32LE(tables[0], 140);
  primary.writeUInt32BE(tables[1], 148);
  directoryRecord('\0', extents.get(root) as Extent, true).copy(primary, 156);
  primary.fill(' ', 190, 813);
  for (const at of [813, 830, 847, 864]) primary.write('0'.repeat(16), at, 'latin1');
  primary[881] = 1;
  image.write('\xffCD001\x01', (SYSTEM_AREA_SECTORS + 1) * SECTOR, 'latin1');
}

function pathTables(
  root: DemoFolder,
  folders: readonly DemoFolder[],
  extents: Map<DemoFile | DemoFolder, Extent>,
): [Buffer, Buffer] {
  // ECMA-119 6.9.1: ordered by level, then by parent.
  const levels = new Map<DemoFolder, number>([[root, 0]]);
  for (const entry of folders)
    levels.set(entry, entry === root ? 0 : (levels.get(parentOf(root, entry) ?? root) ?? 0) + 1);
  const ordered = [...folders].sort((a, b) => (levels.get(a) ?? 0) - (levels.get(b) ?? 0));
  const record = (entry: DemoFolder, bigEndian: boolean) => {
    const name = entry.name || '\0';
    const bytes = Buffer.alloc(8 + name.length + (name.length % 2));
    const parent = ordered.indexOf(parentOf(root, entry) ?? root) + 1;
    const { sector } = extents.get(entry) as Extent;
    bytes[0] = name.length;
    if (bigEndian) {
      bytes.writeUInt32BE(sector, 2);
      bytes.writeUInt16BE(parent, 6);
    } else {
      bytes.writeUInt32LE(sector, 2);
      bytes.writeUInt16LE(parent, 6);
    }
    bytes.write(name, 8, 'latin1');
    return bytes;
  };
  return [Buffer.concat(ordered.map((f) => record(f, false))), Buffer.concat(ordered.map((f) => record(f, true)))];
}

function writeFolder(
  image: Buffer,
  folder: DemoFolder,
  extents: Map<DemoFile | DemoFolder, Extent>,
  parent: DemoFolder,
): void {
  const { sector } = extents.get(folder) as Extent;
  const records = [
    directoryRecord('\0', extents.get(folder) as Extent, true),
    directoryRecord('\x01', extents.get(parent) as Extent, true),
    ...folder.entries.map((entry) => {
      const isFolder = 'entries' in entry;
      return directoryRecord(isFolder ? entry.name : `${entry.name};1`, extents.get(entry) as Extent, isFolder);
    }),
  ];
  Buffer.concat(records).copy(image, sector * SECTOR);
}

/** ECMA-119 9.1, with a zero date so that the same input gives the same bytes. */
function directoryRecord(name: string, extent: Extent, isFolder: boolean): Buffer {
  const record = Buffer.alloc(33 + name.length + ((name.length + 1) % 2));
  record[0] = record.length;
  both32(record, 2, extent.sector);
  both32(record, 10, extent.size);
  record[25] = isFolder ? 2 : 0;
  both16(record, 28, 1);
  record[32] = name.length;
  record.write(name, 33, 'latin1');
  return record;
}

function both16(buffer: Buffer, offset: number, value: number): void {
  buffer.writeUInt16LE(value, offset);
  buffer.writeUInt16BE(value, offset + 2);
}

function both32(buffer: Buffer, offset: number, value: number): void {
  buffer.writeUInt32LE(value, offset);
  buffer.writeUInt32BE(value, offset + 4);
}

/** Incompressible and always the same: a key stream. */
async function writeNoise(target: AtomicFile, { sector, size }: Extent): Promise<void> {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const zeros = Buffer.alloc(MiB);
  for (let done = 0; done < size; done += zeros.length) {
    const noise = cipher.update(zeros.subarray(0, Math.min(zeros.length, size - done)));
    await target.handle.write(noise, 0, noise.length, sector * SECTOR + done);
  }
}

if (import.meta.main) {
  const [path, size] = process.argv.slice(2);
  if (!path) throw new Error('usage: node scripts/demo-base.ts FILE [SIZE]');
  await writeDemoBase(path, size === undefined ? {} : { rootfsSize: parseSize(size) });
}
