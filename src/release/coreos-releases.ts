import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { MiB } from '../io/sizes.ts';

/** The record that build-iso writes beside its images. */
export const BUILD_INFO = 'build-info.json';
/** A record is a few kilobytes. */
export const MAX_BUILD_INFO = 4 * MiB;

/**
 * The Fedora CoreOS release of each architecture, from every `build-info.json` among the files or next to them. A file of
 * that name that isn't one of ours says nothing.
 */
export async function coreosReleasesNear(paths: readonly string[]): Promise<Record<string, string>> {
  const candidates = paths.map((path) => (basename(path) === BUILD_INFO ? path : join(dirname(path), BUILD_INFO)));
  const releases: Record<string, string> = {};
  for (const path of new Set(candidates)) {
    const info = await stat(path).catch(() => undefined);
    if (!info?.isFile() || info.size > MAX_BUILD_INFO) continue;
    Object.assign(releases, coreosReleasesOf(await readFile(path, 'utf8')));
  }
  return releases;
}

/** The releases by architecture that the text of a `build-info.json` names. */
export function coreosReleasesOf(text: string): Record<string, string> {
  let info: unknown;
  try {
    info = JSON.parse(text);
  } catch {
    return {};
  }
  const { bases } = (info ?? {}) as { bases?: unknown };
  const safe = /^[A-Za-z0-9._+-]{1,64}$/;
  const pairs = (Array.isArray(bases) ? bases : [])
    .map((base) => [String(base?.architecture), String(base?.release)] as const)
    .filter(([architecture, release]) => safe.test(architecture) && safe.test(release));
  return Object.fromEntries(pairs);
}
