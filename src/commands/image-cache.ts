import { copyFile, link, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { ImageCache } from '../coreos/index.ts';
import type { Host } from '../host/host.ts';
import { messageOf } from '../io/errors.ts';

/** What is used of `@actions/cache`. */
export interface CacheClient {
  isFeatureAvailable(): boolean;
  restoreCache(paths: string[], key: string): Promise<string | undefined>;
  saveCache(paths: string[], key: string): Promise<number>;
}

/**
 * The runner's cache as a place for images: one entry per digest, so that it never goes stale. Every failure is a
 * warning. Undefined where there is no such cache.
 */
export async function runnerImageCache(
  host: Host,
  client: () => Promise<CacheClient> = () => import('@actions/cache'),
): Promise<ImageCache | undefined> {
  if (host.kind !== 'runner') return undefined;
  const cache = await client();
  if (!cache.isFeatureAvailable()) {
    host.debug('the runner offers no cache');
    return undefined;
  }
  // An entry is found again only under the same path, so it must not depend on the output folder.
  const folder = join(host.env.RUNNER_TEMP ?? tmpdir(), 'k4all-image-cache');
  const attempt = async <T>(what: string, fallback: T, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      host.warning(`${what}: ${messageOf(error)}`);
      return fallback;
    }
  };
  return {
    pathFor: (sha256, fileName) => join(folder, sha256, fileName),
    restore: (sha256, path) =>
      attempt(`${basename(path)} can't be restored from the cache`, false, async () => {
        await mkdir(dirname(path), { recursive: true });
        return (await cache.restoreCache([path], keyOf(sha256))) !== undefined;
      }),
    save: (sha256, path) =>
      attempt(`${basename(path)} can't be saved in the cache`, undefined, async () => {
        const kept = join(folder, sha256, basename(path));
        await mkdir(dirname(kept), { recursive: true });
        await linkOrCopy(path, kept);
        await cache.saveCache([kept], keyOf(sha256));
        await rm(kept, { force: true });
      }),
  };
}

function keyOf(sha256: string): string {
  return `k4all-coreos-${sha256}`;
}

/** The same bytes under another name, without copying them if the file system can. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  await link(from, to).catch(() => copyFile(from, to));
}
