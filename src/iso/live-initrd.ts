import { type ArchiveMember, readArchives } from '../archive/index.ts';
import { messageOf } from '../io/errors.ts';
import type { Reader } from '../io/reader.ts';
import { GiB } from '../io/sizes.ts';
import type { Architecture } from './architecture.ts';
import { CONFIG_PATH, NETWORK_FOLDER } from './embed.ts';
import { type Features, parseFeatures } from './features.ts';
import { fileMap } from './ignition-area.ts';
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
  const all = fileMap(members);
  if (!all.has(STAMP_PATH)) {
    throw new Error(
      `${reader.name} is not a CoreOS live initramfs: it lacks ${STAMP_PATH}; take the "initramfs" of the PXE files`,
    );
  }
  const files = new Map([...all].filter(([path]) => path === CONFIG_PATH || path.startsWith(`${NETWORK_FOLDER}/`)));
  const features = all.get(FEATURES_PATH);
  return {
    reader,
    features: parseFeatures(features ? parseJson(reader.name, features) : {}),
    architecture: LINKERS.find(([pattern]) => members.some(({ path }) => pattern.test(path)))?.[1] ?? '',
    files,
    pristine: files.size === 0,
  };
}

async function readMembers(reader: Reader): Promise<ArchiveMember[]> {
  const bytes = await reader.read(0, reader.size);
  try {
    return await readArchives(bytes, { limit: UNPACKED_LIMIT });
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
 * What has to be appended to a live initramfs so that it carries files: an archive of its own, which the kernel unpacks
 * over the others.
 *
 * @throws Error if the initramfs is customised already
 */
export async function initrdAppendix(initrd: LiveInitrd, files: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
  if (!initrd.pristine) {
    throw new Error(`${initrd.reader.name} is customised already: take the original initramfs`);
  }
  if (files.size === 0) return new Uint8Array();
  // An archive that isn't compressed has to begin at a multiple of four (Linux, init/initramfs.c).
  const padding = Buffer.alloc((4 - (initrd.reader.size % 4)) % 4);
  return Buffer.concat([padding, await packInitrd(files)]);
}
