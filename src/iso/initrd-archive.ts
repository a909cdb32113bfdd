import { type ArchiveMember, compressToFit, type Packing, writeArchive } from '../archive/index.ts';

const DIRECTORY_MODE = 0o040755;
const FILE_MODE = 0o100600;

/** A file that is carried to the live system's initramfs. */
export interface WeighedFile {
  readonly path: string;
  /** Bytes before compression. */
  readonly size: number;
}

/**
 * Packs files the way coreos-installer lays them out: sorted by path, mode 0600, each folder (0755) before what it
 * holds because the kernel makes none by itself; compressed as it does, or if that doesn't fit, in the smallest form
 * that the kernel accepts.
 *
 * @param options.limit what it has to fit into, in bytes; the result may still be larger
 * @param options.zstd whether the kernel is known to unpack zstd, as Fedora's does since Linux 5.9
 */
export function packInitrd(
  files: ReadonlyMap<string, Uint8Array>,
  options: { readonly limit: number; readonly zstd: boolean },
): Uint8Array {
  const members: ArchiveMember[] = [];
  const folders = new Set<string>();
  const paths = [...files.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const path of paths) {
    const components = path.split('/');
    for (let depth = 1; depth < components.length; depth++) {
      const folder = components.slice(0, depth).join('/');
      if (folders.has(folder)) continue;
      folders.add(folder);
      members.push({ path: folder, mode: DIRECTORY_MODE, data: new Uint8Array() });
    }
    members.push({ path, mode: FILE_MODE, data: files.get(path) ?? new Uint8Array() });
  }
  const among: Packing[] = ['none', 'gzip', 'xz', ...(options.zstd ? (['zstd'] as const) : [])];
  return compressToFit(writeArchive(members), options.limit, { among }).bytes;
}

/** How many files an error or a meter names. */
const HEAVIEST = 5;

/**
 * The files that weigh most, largest first. The files that an Ignition config carries inline stand for themselves, as
 * `config.ign: /path`: they are what can be made smaller.
 */
export function heaviestFiles(files: ReadonlyMap<string, Uint8Array>): WeighedFile[] {
  const weights: WeighedFile[] = [];
  for (const [path, data] of files) {
    const inside = inlineFiles(data).map((file) => ({ path: `${path}: ${file.path}`, size: file.size }));
    const rest = data.length - inside.reduce((sum, { size }) => sum + size, 0);
    weights.push({ path, size: Math.max(rest, 0) }, ...inside);
  }
  return weights.sort((a, b) => b.size - a.size || (a.path < b.path ? -1 : 1)).slice(0, HEAVIEST);
}

function inlineFiles(config: Uint8Array): WeighedFile[] {
  // Only a JSON object can be a config; anything else needn't be parsed.
  if (config[0] !== 0x7b) return [];
  try {
    const json = JSON.parse(Buffer.from(config).toString('utf8')) as {
      storage?: { files?: { path?: unknown; contents?: { source?: unknown } | null }[] | null } | null;
    };
    return (json.storage?.files ?? []).flatMap(({ path, contents }) => {
      const source = contents?.source;
      return typeof path === 'string' && typeof source === 'string' ? [{ path, size: source.length }] : [];
    });
  } catch {
    return [];
  }
}
