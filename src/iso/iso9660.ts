import { quote } from '../io/errors.ts';
import { type Reader, slice } from '../io/reader.ts';
import { MiB } from '../io/sizes.ts';

/** ECMA-119 6.1.2; other logical sector sizes are allowed by the standard and used by nobody. */
export const SECTOR = 2048;
/** The volume descriptors follow the system area of 16 sectors (ECMA-119 6.2.1). */
const SYSTEM_AREA_SECTORS = 16;
const MAX_DESCRIPTORS = 64;
const MAX_DIRECTORY_SIZE = 4 * MiB;
/** Rock Ridge discs go deeper than the eight levels of the standard. */
const MAX_DEPTH = 64;
const MAX_ENTRIES = 100_000;

const FLAG_DIRECTORY = 0x02;
const FLAG_MULTI_EXTENT = 0x80;

/** A file or folder; `offset` and `size` are in bytes from the beginning of the image. */
export interface IsoEntry {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  readonly directory: boolean;
}

/** Read access to the files of an ISO 9660 image (ECMA-119); Rock Ridge and Joliet are not looked at. */
export interface IsoFileSystem {
  readonly volumeId: string;
  /** Sector of the El Torito boot catalog, if there is one. */
  readonly bootCatalog: number | undefined;
  /** The file or folder at a path such as `COREOS/KARGS.JSO`; the case of letters doesn't matter. */
  find(path: string): Promise<IsoEntry | undefined>;
  /** What a folder holds, in the order of the disc. */
  list(directory: IsoEntry): Promise<IsoEntry[]>;
  /** Every file with its path, folders before what they hold. */
  walk(): AsyncGenerator<{ path: string; entry: IsoEntry }>;
  /** The contents of a file as a reader, named by its path for messages. */
  open(entry: IsoEntry): Reader;
}

/**
 * Opens an ISO 9660 image.
 *
 * @throws Error if it is none, is truncated, or its root directory lies outside of it
 */
export async function openIsoFileSystem(reader: Reader): Promise<IsoFileSystem> {
  const { primary, bootCatalog } = await readDescriptors(reader);
  const blockSize = primary.readUInt16LE(128);
  if (blockSize !== SECTOR) throw damaged(reader, `its logical blocks have ${blockSize} bytes instead of ${SECTOR}`);
  const volumeSize = primary.readUInt32LE(80) * SECTOR;
  if (volumeSize > reader.size) {
    throw new Error(
      `${reader.name} is truncated: its ISO file system has ${volumeSize} bytes, but the file only ${reader.size}; fetch it again`,
    );
  }
  const root = parseRecord(reader, primary.subarray(156, 156 + 34), '/');
  if (!root.directory) throw damaged(reader, 'its root is not a directory');
  return fileSystem(reader, root, primary.toString('latin1', 40, 72).trimEnd(), bootCatalog);
}

async function readDescriptors(reader: Reader): Promise<{ primary: Buffer; bootCatalog: number | undefined }> {
  let primary: Buffer | undefined;
  let bootCatalog: number | undefined;
  for (let index = 0; index < MAX_DESCRIPTORS; index++) {
    const offset = (SYSTEM_AREA_SECTORS + index) * SECTOR;
    if (offset + SECTOR > reader.size) break;
    const sector = await reader.read(offset, SECTOR);
    if (sector.toString('latin1', 1, 6) !== 'CD001') break;
    const type = sector[0];
    if (type === 255) break;
    if (type === 1) primary ??= sector;
    if (type === 0 && sector.toString('latin1', 7, 30) === 'EL TORITO SPECIFICATION') {
      bootCatalog ??= sector.readUInt32LE(71);
    }
  }
  if (!primary) throw new Error(`${reader.name} is not an ISO 9660 image`);
  return { primary, bootCatalog };
}

function fileSystem(reader: Reader, root: IsoEntry, volumeId: string, bootCatalog: number | undefined): IsoFileSystem {
  const list = (directory: IsoEntry) => readDirectory(reader, directory);

  async function find(path: string): Promise<IsoEntry | undefined> {
    let entry: IsoEntry | undefined = root;
    for (const component of path.split('/').filter((part) => part !== '')) {
      if (!entry?.directory) return undefined;
      const wanted = component.toUpperCase();
      entry = (await list(entry)).find(({ name }) => name.toUpperCase() === wanted);
    }
    return entry;
  }

  return {
    volumeId,
    bootCatalog,
    find,
    list,
    walk: () => walk(reader, root),
    open: (entry) => slice(reader, entry.size > 0 ? entry.offset : 0, entry.size, `${entry.name} in ${reader.name}`),
  };
}

interface Place {
  readonly path: string;
  readonly entry: IsoEntry;
  readonly depth: number;
}

async function* walk(reader: Reader, root: IsoEntry): AsyncGenerator<Place> {
  const visited = new Set<number>();
  const queue: Place[] = [{ path: '', entry: root, depth: 0 }];
  let count = 0;
  for (let next = queue.pop(); next; next = queue.pop()) {
    if (next.path !== '') yield next;
    if (!next.entry.directory) continue;
    // A folder that is its own descendant would go on for ever.
    if (visited.has(next.entry.offset)) throw damaged(reader, `its folder ${quote(next.path)} contains itself`);
    visited.add(next.entry.offset);
    const children = await childrenOf(reader, next);
    count += children.length;
    if (count > MAX_ENTRIES) throw damaged(reader, `it has more than ${MAX_ENTRIES} files`);
    queue.push(...children.reverse());
  }
}

async function childrenOf(reader: Reader, { path, entry, depth }: Place): Promise<Place[]> {
  if (depth > MAX_DEPTH) throw damaged(reader, `its folders are nested deeper than ${MAX_DEPTH} levels`);
  const children = await readDirectory(reader, entry);
  const prefix = path === '' ? '' : `${path}/`;
  return children.map((child) => ({ path: prefix + child.name, entry: child, depth: depth + 1 }));
}

async function readDirectory(reader: Reader, directory: IsoEntry): Promise<IsoEntry[]> {
  if (directory.size > MAX_DIRECTORY_SIZE) {
    throw damaged(reader, `its folder ${quote(directory.name)} claims ${directory.size} bytes`);
  }
  const bytes = await reader.read(directory.offset, directory.size);
  const entries: IsoEntry[] = [];
  let position = 0;
  while (position < bytes.length) {
    const length = bytes[position] ?? 0;
    if (length === 0) {
      // Records don't cross sectors (ECMA-119 6.8.1.1): the rest of this one is empty.
      position = (Math.floor(position / SECTOR) + 1) * SECTOR;
      continue;
    }
    const record = bytes.subarray(position, position + length);
    if (record.length < length || length < 34) {
      throw damaged(reader, `a record of its folder ${quote(directory.name)} is cut off`);
    }
    position += length;
    if (!isSelfOrParent(record)) entries.push(parseRecord(reader, record, undefined));
  }
  return entries;
}

function isSelfOrParent(record: Buffer): boolean {
  return record[32] === 1 && (record[33] === 0 || record[33] === 1);
}

/** A directory record (ECMA-119 9.1); `name` for the root, whose own is a zero byte. */
function parseRecord(reader: Reader, record: Buffer, name: string | undefined): IsoEntry {
  const nameLength = record[32] ?? 0;
  if (33 + nameLength > record.length) throw damaged(reader, 'the name in a directory record is cut off');
  const extendedAttributes = record[1] ?? 0;
  const flags = record[25] ?? 0;
  const entry = {
    name: name ?? fileName(record.toString('latin1', 33, 33 + nameLength)),
    offset: (record.readUInt32LE(2) + extendedAttributes) * SECTOR,
    size: record.readUInt32LE(10),
    directory: (flags & FLAG_DIRECTORY) !== 0,
  };
  if ((flags & FLAG_MULTI_EXTENT) !== 0 || record[26] !== 0) {
    throw damaged(reader, `${quote(entry.name)} is stored in several pieces, which a live ISO never does`);
  }
  // Empty files may claim any place.
  if (entry.size > 0 && entry.offset + entry.size > reader.size) {
    throw damaged(
      reader,
      `${quote(entry.name)} (${entry.size} bytes at ${entry.offset}) lies outside of its ${reader.size} bytes`,
    );
  }
  return entry;
}

/** Without the version `;1` and the dot that stands for an empty extension. */
function fileName(text: string): string {
  return text.replace(/;\d*$/, '').replace(/\.$/, '');
}

function damaged(reader: Reader, reason: string): Error {
  return new Error(`${reader.name} is truncated or damaged: ${reason}`);
}

/** Whether bytes begin like an ISO 9660 image. */
export async function isIsoImage(reader: Reader): Promise<boolean> {
  const offset = SYSTEM_AREA_SECTORS * SECTOR + 1;
  return reader.size >= offset + 5 && (await reader.read(offset, 5)).toString('latin1') === 'CD001';
}
