import { type ArchiveMember, readArchives } from '../archive/index.ts';
import { messageOf, quote } from '../io/errors.ts';
import type { Reader } from '../io/reader.ts';
import { MiB } from '../io/sizes.ts';
import type { IsoFileSystem } from './iso9660.ts';
import { findFile, isRecord, parseJsonFile } from './metadata.ts';

/** What an area may unpack to: what is packed better than that is an attack, not a config. */
export const UNPACKED_LIMIT = 64 * MiB;
const DEFAULT_FILE = 'images/ignition.img';
/** Far above the 256 KiB that every known release has; keeps a hostile length from filling the memory. */
const MAX_AREA_SIZE = 64 * MiB;

/** The area whose archive the kernel unpacks after the main initramfs. */
export interface IgnitionArea {
  readonly offset: number;
  /** Bytes that an archive may take. */
  readonly size: number;
  /** Bytes of the archives in it, without the zeros behind. */
  readonly used: number;
  /**
   * Unpacks the regular files, by path; of several with one path the last, as in the kernel. Empty when pristine.
   *
   * @throws Error if the archives are damaged or unpack to more than 64 MiB
   */
  unpack(): Promise<ReadonlyMap<string, Uint8Array>>;
}

/**
 * Finds the Ignition area: where `/coreos/igninfo.json` says, else the whole of `/images/ignition.img`.
 *
 * @throws Error if the ISO has none, or it isn't inside its file
 */
export async function readIgnitionArea(reader: Reader, files: IsoFileSystem): Promise<IgnitionArea> {
  const { offset, size } = await locate(reader, files);
  if (size > MAX_AREA_SIZE) throw new Error(`${reader.name}: its Ignition area claims ${size} bytes: it is damaged`);
  const bytes = await reader.read(offset, size);
  const used = usedLength(bytes);
  return { offset, size, used, unpack: async () => (used === 0 ? new Map() : unpack(reader.name, bytes)) };
}

async function locate(reader: Reader, files: IsoFileSystem): Promise<{ offset: number; size: number }> {
  const info = await readInfo(files);
  const path = info.file ?? DEFAULT_FILE;
  const file = await findFile(files, path);
  if (!file && info.file === undefined) {
    throw new Error(
      `${reader.name} is not a CoreOS live ISO: it has neither coreos/igninfo.json nor ${DEFAULT_FILE}; take a live ISO of Fedora CoreOS`,
    );
  }
  if (!file) throw new Error(`${reader.name}: its igninfo.json names ${quote(path)}, which isn't on the ISO`);
  const start = info.offset ?? 0;
  const size = info.length ?? file.size - start;
  if (start + size > file.size || size <= 0) {
    throw new Error(
      `${reader.name}: its Ignition area (${size} bytes at ${start}) lies outside of ${quote(path)}, which has ${file.size} bytes`,
    );
  }
  return { offset: file.offset + start, size };
}

interface Info {
  readonly file?: string;
  readonly offset?: number;
  readonly length?: number;
}

async function readInfo(files: IsoFileSystem): Promise<Info> {
  const entry = await findFile(files, 'coreos/igninfo.json');
  if (!entry) return {};
  const file = files.open(entry);
  const json = await parseJsonFile(file);
  const fail = (what: string) => new Error(`${file.name} ${what}: it is damaged`);
  if (!isRecord(json) || typeof json.file !== 'string') throw fail('lacks "file"');
  const count = (name: 'offset' | 'length'): { [name]?: number } => {
    const value = json[name] ?? undefined;
    if (value === undefined) return {};
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return { [name]: value };
    throw fail(`has a wrong "${name}"`);
  };
  return { file: json.file, ...count('offset'), ...count('length') };
}

async function unpack(name: string, bytes: Uint8Array): Promise<Map<string, Uint8Array>> {
  try {
    return fileMap(await readArchives(bytes, { limit: UNPACKED_LIMIT }));
  } catch (error) {
    throw new Error(
      `${name}: its Ignition area can't be unpacked: ${messageOf(error)}; put it back with "reset", or replace it with "force"`,
      { cause: error },
    );
  }
}

const TYPE_MASK = 0o170000;
const REGULAR_FILE = 0o100000;

/** The regular files among the members, by path. */
export function fileMap(members: readonly ArchiveMember[]): Map<string, Uint8Array> {
  const regular = members.filter(({ mode }) => (mode & TYPE_MASK) === REGULAR_FILE);
  return new Map(regular.map(({ path, data }) => [path, data]));
}

/** Length without the zeros at the end. */
export function usedLength(bytes: Uint8Array): number {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return length;
}
