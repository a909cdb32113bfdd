import { quote } from '../io/errors.ts';

/** The fields of a "newc" header: magic, then thirteen numbers of eight hexadecimal digits. */
const HEADER_SIZE = 110;
const MAGIC = '070701';
/** The same with a sum of the data's bytes in the last field. */
const MAGIC_WITH_SUM = '070702';
const TRAILER = 'TRAILER!!!';
/** The kernel's PATH_MAX, with the NUL at the end. */
const MAX_NAME_SIZE = 4096;

export const FILE_TYPE = 0o170000;
export const DIRECTORY = 0o040000;
export const REGULAR_FILE = 0o100000;

/** A file, directory, symbolic link (its target is the data) or device of an archive. */
export interface ArchiveMember {
  /** As it stands in the archive: usually relative to the root, without `./`. */
  readonly path: string;
  /** Permissions and type bits, as in `st_mode`. */
  readonly mode: number;
  readonly data: Uint8Array;
}

interface Header {
  readonly inode: string;
  readonly mode: number;
  readonly links: number;
  readonly size: number;
  readonly nameSize: number;
  /** Sum of the data's bytes, if the format has it. */
  readonly sum: number | undefined;
}

export function isCpio(bytes: Uint8Array): boolean {
  const magic = Buffer.from(bytes.subarray(0, MAGIC.length)).toString('latin1');
  return magic === MAGIC || magic === MAGIC_WITH_SUM;
}

/**
 * Reads one "newc" archive (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`) up to its trailer, from
 * pieces that are fed to it. The names of a hard link all get the data.
 */
export class CpioReader {
  readonly #members: ArchiveMember[] = [];
  readonly #links = new HardLinks();
  readonly #keeps: (path: string) => boolean;
  readonly #run: Generator<void, void, void>;
  #unread: Buffer = Buffer.alloc(0);
  #offset: number;
  #ended = false;
  /** What is wrong if no more bytes come. */
  #missing: { readonly offset: number; readonly what: string } | undefined;

  /**
   * @param start the offset that the archive begins at, a multiple of four; offsets in messages count from there
   * @param keeps whether the data of a file is wanted; that of others is empty
   */
  constructor(start: number, keeps: (path: string) => boolean) {
    this.#offset = start;
    this.#keeps = keeps;
    this.#run = this.#read();
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Takes the next bytes; returns how many belong to the archive.
   *
   * @throws Error with the offset of what is damaged
   */
  feed(bytes: Buffer): number {
    this.#unread = bytes;
    this.#ended = this.#run.next().done === true;
    return bytes.length - this.#unread.length;
  }

  /**
   * The members in their order.
   *
   * @throws Error if the archive is truncated
   */
  finish(): readonly ArchiveMember[] {
    if (this.#missing) throw damaged(this.#missing.offset, this.#missing.what);
    return this.#links.resolve(this.#members);
  }

  *#read(): Generator<void, void, void> {
    for (;;) {
      const start = this.#offset;
      this.#missing = { offset: start, what: 'it ends without a trailer' };
      const header = readHeader(yield* this.#take(HEADER_SIZE), start);
      this.#missing = { offset: start, what: 'it ends in a name' };
      const path = readName(yield* this.#take(header.nameSize), start);
      this.#missing = { offset: start, what: `${quote(path)} has ${header.size} bytes, more than there are` };
      yield* this.#skip(align(this.#offset) - this.#offset);
      const isKept = header.links > 1 || header.sum !== undefined || this.#keeps(path);
      const data = isKept ? yield* this.#take(header.size) : new Uint8Array();
      if (isKept) checkSum(header, data, start, path);
      else yield* this.#skip(header.size);
      if (path === TRAILER) break;
      if (header.links > 1) this.#links.add(header, this.#members.length);
      this.#members.push({ path, mode: header.mode, data });
      this.#missing = { offset: align(this.#offset), what: 'it ends without a trailer' };
      yield* this.#skip(align(this.#offset) - this.#offset);
    }
    // The padding at the very end is often cut off.
    this.#missing = undefined;
    yield* this.#skip(align(this.#offset) - this.#offset);
  }

  *#take(length: number): Generator<void, Buffer, void> {
    const parts: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const part = yield* this.#some(left);
      parts.push(part);
      left -= part.length;
    }
    const [only = Buffer.alloc(0)] = parts;
    return parts.length > 1 ? Buffer.concat(parts) : only;
  }

  *#skip(length: number): Generator<void, void, void> {
    for (let left = length; left > 0; ) left -= (yield* this.#some(left)).length;
  }

  /** At least one of the next bytes, and at most `limit`. */
  *#some(limit: number): Generator<void, Buffer, void> {
    while (this.#unread.length === 0) yield;
    const part = this.#unread.subarray(0, limit);
    this.#unread = this.#unread.subarray(part.length);
    this.#offset += part.length;
    return part;
  }
}

function damaged(offset: number, what: string): Error {
  return new Error(`the cpio archive is damaged: ${what} (header at offset ${offset})`);
}

function readHeader(bytes: Buffer, offset: number): Header {
  const magic = bytes.toString('latin1', 0, MAGIC.length);
  if (magic !== MAGIC && magic !== MAGIC_WITH_SUM) throw damaged(offset, `${quote(magic)} is no "newc" header`);
  const text = bytes.toString('latin1', MAGIC.length, HEADER_SIZE);
  if (!/^[0-9a-f]{104}$/i.test(text)) throw damaged(offset, 'a number of the header is not hexadecimal');
  const field = (index: number) => Number.parseInt(text.slice(8 * index, 8 * index + 8), 16);
  const nameSize = field(11);
  if (nameSize < 2 || nameSize > MAX_NAME_SIZE) throw damaged(offset, `a name can't have ${nameSize} bytes`);
  return {
    // Inode and device numbers together name a file; the mode's type is the same for all its names.
    inode: `${text.slice(0, 8)}${text.slice(56, 72)}`,
    mode: field(1),
    links: field(4),
    size: field(6),
    nameSize,
    sum: magic === MAGIC_WITH_SUM ? field(12) : undefined,
  };
}

/** The name up to its first NUL: dracut-cpio aligns data by more NULs. */
function readName(bytes: Buffer, offset: number): string {
  const end = bytes.indexOf(0);
  if (end <= 0) throw damaged(offset, end === 0 ? 'a name is empty' : 'a name has no end');
  return bytes.toString('utf8', 0, end);
}

function checkSum(header: Header, data: Uint8Array, offset: number, path: string): void {
  if (header.sum === undefined || (header.mode & FILE_TYPE) !== REGULAR_FILE) return;
  let sum = 0;
  for (const byte of data) sum = (sum + byte) >>> 0;
  if (sum !== header.sum) throw damaged(offset, `the sum of ${quote(path)} is wrong`);
}

function align(offset: number): number {
  return Math.ceil(offset / 4) * 4;
}

/** Regular files with several names; only one of the members, often the last, carries the data. */
class HardLinks {
  readonly #groups = new Map<string, number[]>();

  add(header: Header, index: number): void {
    if ((header.mode & FILE_TYPE) !== REGULAR_FILE) return;
    const group = this.#groups.get(header.inode);
    if (group) group.push(index);
    else this.#groups.set(header.inode, [index]);
  }

  resolve(members: ArchiveMember[]): ArchiveMember[] {
    for (const group of this.#groups.values()) {
      const data = group
        .map((index) => members[index]?.data)
        .findLast((candidate) => candidate && candidate.length > 0);
      if (!data) continue;
      for (const index of group) {
        const member = members[index];
        if (member) members[index] = { ...member, data };
      }
    }
    return members;
  }
}

/**
 * Writes a "newc" archive that depends on nothing but its members: sorted by path, the parent directories that are
 * missing added with mode 0755, owner root, time 0. Of members with the same path the last counts.
 *
 * @throws Error naming the path that an archive can't hold
 */
export function writeArchive(members: Iterable<ArchiveMember>): Buffer {
  const parts: Buffer[] = [];
  let inode = 0;
  for (const member of withParents(members)) parts.push(...entry(member.path, member.mode, member.data, inode++));
  return Buffer.concat([...parts, ...entry(TRAILER, 0, new Uint8Array(), 0)]);
}

function withParents(members: Iterable<ArchiveMember>): ArchiveMember[] {
  const byPath = new Map<string, ArchiveMember>();
  for (const member of members) {
    checkPath(member.path);
    byPath.set(member.path, member);
  }
  for (const path of [...byPath.keys()]) {
    for (const parent of parentsOf(path)) {
      const present = byPath.get(parent);
      if (!present) byPath.set(parent, { path: parent, mode: DIRECTORY | 0o755, data: new Uint8Array() });
      else if ((present.mode & FILE_TYPE) !== DIRECTORY) {
        throw new Error(`An archive can't hold ${quote(path)}, because ${quote(parent)} is no directory`);
      }
    }
  }
  return [...byPath.values()].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}

function parentsOf(path: string): string[] {
  const components = path.split('/');
  return components.slice(1).map((_, index) => components.slice(0, index + 1).join('/'));
}

function checkPath(path: string): void {
  const usable =
    path !== TRAILER &&
    !path.includes('\0') &&
    Buffer.byteLength(path) < MAX_NAME_SIZE &&
    path.split('/').every((component) => component !== '' && component !== '.' && component !== '..');
  if (!usable) throw new Error(`An archive can't hold a file named ${quote(path)}: give a path relative to the root`);
}

function entry(path: string, mode: number, data: Uint8Array, inode: number): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  // inode, mode, owner, group, links, time, size, device (2), special device (2), size of the name, sum
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(MAGIC + fields.map((field) => field.toString(16).padStart(8, '0')).join(''), 'latin1');
  return [
    header,
    name,
    padding(header.length + name.length),
    Buffer.from(data.buffer, data.byteOffset, data.length),
    padding(data.length),
  ];
}

function padding(size: number): Buffer {
  return Buffer.alloc(align(size) - size);
}
