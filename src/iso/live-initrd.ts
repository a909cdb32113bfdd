import { type ArchiveMember, ArchivesReader, filesOf, readArchives } from '../archive/index.ts';
import { messageOf } from '../io/errors.ts';
import { type Reader, readChunks } from '../io/reader.ts';
import { GiB } from '../io/sizes.ts';
import type { Architecture } from './architecture.ts';
import { CONFIG_PATH, NETWORK_FOLDER } from './embed.ts';
import { type Features, parseFeatures } from './features.ts';
import { UNPACKED_LIMIT as AREA_LIMIT } from './ignition-area.ts';
import { packInitrd } from './initrd-archive.ts';
import { isIsoImage } from './iso9660.ts';

/** What the live initramfs has and no other. */
const STAMP_PATH = 'etc/coreos-live-initramfs';
const FEATURES_PATH = 'etc/coreos/features.json';
/** A live initramfs unpacks to some hundred MiB. */
const UNPACKED_LIMIT = 2 * GiB;

/** The dynamic linker's name tells the architecture. */
const LINKERS: readonly (readonly [RegExp, Architecture])[] = [
  [/(^|\/)ld-linux-x86-64\.so\.2$/, 'x86_64'],
  [/(^|\/)ld-linux-aarch64\.so\.1$/, 'aarch64'],
  [/(^|\/)ld64\.so\.2$/, 'ppc64le'],
  [/(^|\/)ld64\.so\.1$/, 's390x'],
];

/** A CoreOS live PXE initramfs and what it carries. */
export interface LiveInitrd {
  readonly reader: Reader;
  readonly features: Features;
  /** Empty if it can't be told. */
  readonly architecture: Architecture | '';
  /** The config and the keyfiles in it, by path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly pristine: boolean;
}

/**
 * Reads a CoreOS live PXE initramfs.
 *
 * @throws Error if it is none, or is damaged
 */
export async function openLiveInitrd(reader: Reader): Promise<LiveInitrd> {
  if (await isIsoImage(reader)) throw new Error(`${reader.name} is an ISO image, not an initramfs: give it as "iso"`);
  const members = await readMembers(reader);
  const all = filesOf(members);
  if (!all.has(STAMP_PATH)) {
    throw new Error(
      `${reader.name} is not a CoreOS live initramfs: it lacks ${STAMP_PATH}; take the "initramfs" of the PXE files`,
    );
  }
  const files = new Map([...all].filter(([path]) => isCustomizationPath(path)));
  const features = all.get(FEATURES_PATH);
  return {
    reader,
    features: parseFeatures(features ? parseJson(reader.name, features) : {}),
    architecture: LINKERS.find(([pattern]) => members.some(({ path }) => pattern.test(path)))?.[1] ?? '',
    files,
    pristine: files.size === 0,
  };
}

function isCustomizationPath(path: string): boolean {
  return path === CONFIG_PATH || path.startsWith(`${NETWORK_FOLDER}/`);
}

/** Reads it piece by piece: unpacked it has hundreds of megabytes, and few of its files are wanted. */
async function readMembers(reader: Reader): Promise<readonly ArchiveMember[]> {
  const keeps = (path: string) => path === FEATURES_PATH || isCustomizationPath(path);
  const archives = new ArchivesReader({ limit: UNPACKED_LIMIT, keeps });
  try {
    for await (const chunk of readChunks(reader, 0, reader.size)) archives.feed(chunk);
    return archives.finish();
  } catch (error) {
    throw new Error(`${reader.name} is neither a CoreOS live ISO nor a sound initramfs: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function parseJson(name: string, data: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(data).toString('utf8')) as unknown;
  } catch (error) {
    throw new Error(`${FEATURES_PATH} in ${name} is not JSON: it is damaged`, { cause: error });
  }
}

/**
 * What a live initramfs becomes when it carries files: so many of its bytes, and an archive of its own behind them, which
 * the kernel unpacks over the others.
 *
 * @param options.force leave out the archive that somebody appended before
 * @throws Error if the initramfs is customised already and `force` isn't set, or it isn't by an archive at its end
 */
export async function appendToInitrd(
  initrd: LiveInitrd,
  files: ReadonlyMap<string, Uint8Array>,
  options: { readonly force?: boolean } = {},
): Promise<{ kept: number; appendix: Uint8Array }> {
  const { reader, pristine } = initrd;
  if (!pristine && !options.force) {
    throw new Error(
      `${reader.name} is customised already: take the original initramfs, or set "force" to replace what is embedded`,
    );
  }
  const kept = pristine ? reader.size : await customizationStart(reader);
  if (files.size === 0) return { kept, appendix: new Uint8Array() };
  // An initramfs doesn't tell its kernel's version, so what every kernel unpacks has to do.
  const archive = packInitrd(files, { limit: Number.POSITIVE_INFINITY, zstd: false });
  // An archive that isn't compressed has to begin at a multiple of four (Linux, init/initramfs.c).
  const padding = archive[0] === RAW_ARCHIVE ? (4 - (kept % 4)) % 4 : 0;
  return { kept, appendix: Buffer.concat([Buffer.alloc(padding), archive]) };
}

/** A raw archive begins with the digit 0. */
const RAW_ARCHIVE = 0x30;
const ARCHIVE_MAGICS = ['070701', '\xfd7zXZ\0', '\x1f\x8b\x08', '\x28\xb5\x2f\xfd'].map((text) =>
  Buffer.from(text, 'latin1'),
);

/** Where the archive at the end begins that holds the config, the keyfiles and nothing else. */
async function customizationStart(reader: Reader): Promise<number> {
  const start = Math.max(0, reader.size - AREA_LIMIT);
  const tail = await reader.read(start, reader.size - start);
  // The first from which on there is nothing else: somebody may have appended several, and a raw one has many beginnings.
  const found = archiveStarts(tail).findLast((offset) => isCustomization(tail.subarray(offset)));
  if (found !== undefined) return start + found;
  throw new Error(
    `${reader.name} is customised, but not by an archive at its end that could be replaced: take the original initramfs`,
  );
}

/** Nobody appends so many; a hostile file could look as if. */
const MAX_STARTS = 1000;
/** The last member of a raw archive doesn't begin one; its name stands behind a header of 110 bytes. */
const TRAILER = 'TRAILER!!!';

/** Where archives may begin, the last first. */
function archiveStarts(bytes: Buffer): number[] {
  const starts = ARCHIVE_MAGICS.flatMap((magic) => {
    const found: number[] = [];
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) found.push(at);
    return found;
  });
  return starts
    .filter((at) => bytes.toString('latin1', at + 110, at + 110 + TRAILER.length) !== TRAILER)
    .sort((a, b) => b - a)
    .slice(0, MAX_STARTS);
}

function isCustomization(bytes: Uint8Array): boolean {
  try {
    // A copy, because a raw archive is aligned from where it begins.
    const paths = [...filesOf(readArchives(Buffer.from(bytes), { limit: AREA_LIMIT })).keys()];
    return paths.length > 0 && paths.every(isCustomizationPath);
  } catch {
    return false;
  }
}
