import { timingSafeEqual } from 'node:crypto';
import { quote } from '../io/errors.ts';
import type { Patch } from '../io/patch.ts';
import type { Reader } from '../io/reader.ts';
import { formatSize } from '../io/sizes.ts';
import { UNPACKED_LIMIT } from './ignition-area.ts';
import { heaviestFiles, packInitrd, type WeighedFile } from './initrd-archive.ts';
import {
  changeKernelArguments,
  type KernelArgumentChanges,
  type KernelArguments,
  kernelArgumentPatches,
} from './kernel-arguments.ts';
import { hasDefaultArguments, type LiveIso } from './live-iso.ts';

/** Where the initramfs looks for the live config. */
export const CONFIG_PATH = 'config.ign';
/** Where it looks for NetworkManager keyfiles. */
export const NETWORK_FOLDER = 'etc/coreos-firstboot-network';

/** What to put on a live ISO. */
export interface Embedding {
  /** Files for the Ignition area, by path without a leading slash: `config.ign`, `etc/coreos-firstboot-network/…`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Made to the ISO's default arguments. */
  readonly kernelArguments?: KernelArgumentChanges;
  /** Replace what somebody embedded before. */
  readonly force?: boolean;
}

/** How full the Ignition area is, in bytes. */
export interface AreaUsage {
  readonly size: number;
  readonly used: number;
  /** The files that weigh most before compression, largest first. */
  readonly heaviest: readonly WeighedFile[];
}

/**
 * Prepares an embedding; nothing is written. Whatever was embedded before is gone afterwards.
 *
 * @throws Error if the ISO is customised already and `force` isn't set, has no areas for what is asked, or they are too
 *   small; the last with used and available bytes and the heaviest files
 */
export function embed(iso: LiveIso, embedding: Embedding): { patches: Patch[]; area: AreaUsage } {
  if (!iso.pristine && !embedding.force) {
    throw new Error(
      `${iso.reader.name} is customised already: start from the pristine ISO, or set "force" to replace what is embedded`,
    );
  }
  checkUnpackedSize(embedding.files);
  const limits = { limit: iso.ignitionArea.size, zstd: unpacksZstd(iso) };
  const archive = embedding.files.size > 0 ? packInitrd(embedding.files, limits) : new Uint8Array();
  const area = { size: iso.ignitionArea.size, used: archive.length, heaviest: heaviestFiles(embedding.files) };
  if (area.used > area.size) throw tooLarge(iso, area);
  const bytes = Buffer.alloc(area.size);
  bytes.set(archive);
  const patches = [
    { offset: iso.ignitionArea.offset, bytes },
    ...argumentPatches(iso, embedding.kernelArguments ?? {}),
  ];
  return { patches, area };
}

/**
 * Fedora CoreOS has a features.json since release 35, whose kernel was 5.15; CoreOS of RHEL 8 has one too, with a kernel
 * that doesn't know zstd.
 */
function unpacksZstd({ features, volumeId }: LiveIso): boolean {
  return volumeId.startsWith('fedora-coreos-') && Object.keys(features.json).length > 0;
}

/** What is written has to be readable again. */
function checkUnpackedSize(files: ReadonlyMap<string, Uint8Array>): void {
  const total = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  if (total <= UNPACKED_LIMIT) return;
  throw new Error(
    `the config and its files have ${total} bytes before compression; an Ignition area may unpack to ${UNPACKED_LIMIT} bytes at most`,
  );
}

/** What puts a live ISO back as it was published. */
export function reset(iso: LiveIso): Patch[] {
  const bytes = new Uint8Array(iso.ignitionArea.size);
  return [{ offset: iso.ignitionArea.offset, bytes }, ...argumentPatches(iso, {})];
}

function argumentPatches(iso: LiveIso, changes: KernelArgumentChanges): Patch[] {
  const current = iso.kernelArguments;
  if (isEmpty(changes)) {
    return current && !hasDefaultArguments(current) ? kernelArgumentPatches(current, current.defaultText) : [];
  }
  return kernelArgumentPatches(
    requireArguments(iso),
    changeKernelArguments(requireArguments(iso).defaultText, changes),
  );
}

function isEmpty({ append = [], delete: deletions = [], replace = [] }: KernelArgumentChanges): boolean {
  return append.length + deletions.length + replace.length === 0;
}

function requireArguments(iso: LiveIso): KernelArguments {
  if (iso.kernelArguments) return iso.kernelArguments;
  throw new Error(
    `${iso.reader.name} (release ${quote(iso.coreosRelease)}) has no areas for kernel arguments: take a newer release, or leave them out`,
  );
}

function tooLarge(iso: LiveIso, { used, size, heaviest }: AreaUsage): Error {
  const list = heaviest.map((file) => `  ${formatSize(file.size)}  ${file.path}`).join('\n');
  return new Error(
    `the Ignition area of ${iso.reader.name} has ${size} bytes, but the config and its files need ${used} bytes after ` +
      `compression: ${used - size} bytes too many. Heaviest files, before compression:\n${list}\n` +
      'Make them smaller, or fetch large files by URL (contents.source) instead of carrying them',
  );
}

/** One line that shows how full the Ignition area is. */
export function areaMeter({ used, size }: Pick<AreaUsage, 'used' | 'size'>): string {
  const width = 20;
  const filled = Math.min(width, Math.ceil((used / size) * width));
  const bar = '█'.repeat(filled) + '░'.repeat(width - filled);
  return `Ignition area ${bar} ${((100 * used) / size).toFixed(1)} % (${formatSize(used)} of ${formatSize(size)})`;
}

/**
 * Reads back what was written and compares.
 *
 * @param reader the written image
 * @throws Error naming the offset of the first patch that isn't there
 */
export async function verify(reader: Reader, patches: readonly Patch[]): Promise<void> {
  for (const { offset, bytes } of patches) {
    const written = await reader.read(offset, bytes.length);
    if (!timingSafeEqual(written, bytes)) {
      throw new Error(`${reader.name}: what was read back at offset ${offset} differs from what was written`);
    }
  }
}
