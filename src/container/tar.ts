import { pack } from 'tar-stream';

/** Everything in an archive is a multiple of this many bytes. */
const BLOCK = 512;

/** What stands in front of a file's content. Owner and group are always 0, and have no names. */
export interface TarHeader {
  /** Relative; a folder's ends in `/`. */
  readonly name: string;
  readonly type: 'file' | 'symlink' | 'directory';
  /** Permission bits. */
  readonly mode: number;
  /** Seconds since 1970, see `tarTime`. */
  readonly time: number;
  /** Bytes of the content, 0 for folders and links. */
  readonly size: number;
  /** Where a link leads. */
  readonly target?: string;
}

/** What ends an archive: two blocks of zeros. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK);

/**
 * The header of one entry, with an extended one before it where a name is too long or isn't ASCII. It is the library's;
 * contents don't pass through its streams, which an interruption would leave with errors that nobody listens to.
 */
export async function tarHeader({ name, type, mode, time, size, target }: TarHeader): Promise<Buffer> {
  const archive = pack();
  const owner = { uid: 0, gid: 0, uname: '', gname: '' };
  const link = target === undefined ? {} : { linkname: target };
  const entry = archive.entry({ name, type, mode, size, mtime: new Date(time * 1000), ...owner, ...link });
  for (const stream of [archive, entry]) stream?.on('error', () => {});
  await new Promise<void>((resolve) => archive.once('readable', () => resolve()));
  const read = () => archive.read() as Buffer | null;
  const parts: Buffer[] = [];
  for (let part = read(); part !== null; part = read()) parts.push(part);
  archive.destroy();
  return Buffer.concat(parts);
}

/** The zeros behind so many bytes of content. */
export function tarPadding(size: number): Buffer {
  return TAR_END.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
}
