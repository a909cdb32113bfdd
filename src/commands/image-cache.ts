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
 *
 * The cache finds an entry again only under the path that it was saved from, compared as text, and unpacks it relative to
 * the workspace. So for as long as an image is on its way it lies in the workspace, under a name that is the same in
 * every job: no two jobs share a workspace, and where it is on the machine plays no part.
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
  const workspace = host.env.GITHUB_WORKSPACE || host.cwd;
  const folder = join(host.env.RUNNER_TEMP || tmpdir(), 'k4all-image-cache');
  /** Gives `work` the name of a file in the workspace that is gone afterwards. */
  const inWorkspace = async <T>(sha256: string, work: (name: string, path: string) => Promise<T>): Promise<T> => {
    const name = `.k4all-image-${sha256}`;
    const path = join(workspace, name);
    try {
      return await work(name, path);
    } finally {
      await rm(path, { force: true });
    }
  };
  const attempt = async <T>(what: string, fallback: T, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      host.warning(`${what}: ${messageOf(error)}`);
      return fallback;
    }
  };
  const restore = (sha256: string, path: string) =>
    inWorkspace(sha256, async (name, unpacked) => {
      if ((await cache.restoreCache([name], keyOf(sha256))) === undefined) return false;
      await linkOrCopy(unpacked, path);
      return true;
    });
  const save = (sha256: string, path: string) =>
    inWorkspace(sha256, async (name, packed) => {
      await linkOrCopy(path, packed);
      await cache.saveCache([name], keyOf(sha256));
    });
  return {
    pathFor: (sha256, fileName) => join(folder, sha256, fileName),
    restore: (sha256, path) =>
      attempt(`${basename(path)} can't be restored from the cache`, false, () => restore(sha256, path)),
    save: (sha256, path) =>
      attempt(`${basename(path)} can't be saved in the cache`, undefined, () => save(sha256, path)),
  };
}

function keyOf(sha256: string): string {
  return `k4all-coreos-${sha256}`;
}

/** The same bytes under another name, without copying them if the file system can. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await rm(to, { force: true });
  await link(from, to).catch(() => copyFile(from, to));
}
