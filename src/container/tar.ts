/** Everything in an archive is a multiple of this many bytes. */
const BLOCK = 512;
/** The largest number in 11 octal digits. */
const MAX_OCTAL = 8 ** 11 - 1;
const TYPES = { file: '0', link: '2', directory: '5', extended: 'x' } as const;

/** What stands in front of a file's content. Owner and group are always 0, and have no names. */
export interface TarHeader {
  /** Relative; a folder's ends in `/`. */
  readonly name: string;
  readonly type: 'file' | 'link' | 'directory';
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
 * The header of one entry, with an extended one before it where a name is too long or isn't ASCII. The same bytes
 * everywhere, and not those of a library that may change them: the digests of images depend on it.
 *
 * Source of the format: POSIX.1-2017, "pax Interchange Format" and "ustar Interchange Format"
 */
export function tarHeader(entry: TarHeader): Buffer {
  const { name, target = '', size } = entry;
  const place = splitName(name);
  const large = size > MAX_OCTAL;
  if (place && Buffer.byteLength(target) <= 100 && !large) return header({ ...entry, ...place, target });
  const records = Buffer.concat([
    record('path', name),
    ...(target === '' ? [] : [record('linkpath', target)]),
    ...(large ? [record('size', String(size))] : []),
  ]);
  // Only programs that don't know extended headers see these names.
  const plain = { ...entry, name: 'PaxHeader', prefix: '', target: target === '' ? '' : 'PaxHeader' };
  const parts = [
    header({ ...plain, type: 'extended', size: records.length }),
    records,
    tarPadding(records.length),
    header({ ...plain, size: large ? 0 : size }),
  ];
  return Buffer.concat(parts);
}

/** The zeros behind so many bytes of content. */
export function tarPadding(size: number): Buffer {
  return TAR_END.subarray(0, (BLOCK - (size % BLOCK)) % BLOCK);
}

/** A name as the two fields hold it; undefined where they don't. */
function splitName(name: string): { name: string; prefix: string } | undefined {
  if (Buffer.byteLength(name) !== name.length) return undefined;
  if (name.length <= 100) return { name, prefix: '' };
  const slash = name.indexOf('/', name.length - 101);
  if (slash < 1 || slash > 155 || slash === name.length - 1) return undefined;
  return { name: name.slice(slash + 1), prefix: name.slice(0, slash) };
}

interface Fields extends Omit<TarHeader, 'type'> {
  readonly type: keyof typeof TYPES;
  readonly prefix: string;
}

function header({ name, prefix, type, mode, time, size, target = '' }: Fields): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0);
  for (const [value, digits, offset] of [
    [mode, 6, 100],
    [0, 6, 108],
    [0, 6, 116],
    [size, 11, 124],
    [time, 11, 136],
    [0, 6, 329],
    [0, 6, 337],
  ] as const) {
    writeOctal(block, value, digits, offset);
  }
  block.write(TYPES[type], 156);
  block.write(target, 157);
  block.write('ustar\x0000', 257);
  block.write(prefix, 345);
  // The sum is made with spaces in its own place.
  block.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')} \0`, 148);
  return block;
}

function writeOctal(block: Buffer, value: number, digits: number, offset: number): void {
  block.write(`${value.toString(8).padStart(digits, '0')} `, offset);
}

/** A record of an extended header: its own length, key and value. */
function record(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.from(`${length} ${key}=${value}\n`);
}
