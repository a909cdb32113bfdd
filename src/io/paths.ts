import nodePath, { type PlatformPath } from 'node:path';

/**
 * A path relative to a folder, with slashes on every system. On Windows case plays no part, and a path on another drive
 * stays absolute.
 *
 * @param folder absolute
 * @param path absolute, or relative to `folder`
 * @param paths the system's rules
 */
export function relativePath(folder: string, path: string, paths: PlatformPath = nodePath): string {
  return paths.relative(folder, paths.resolve(folder, path)).split(paths.sep).join('/');
}

/** As `relativePath` for what lies in the folder, `''` for the folder itself; undefined for anything outside. */
export function pathInside(folder: string, path: string, paths: PlatformPath = nodePath): string | undefined {
  const relative = relativePath(folder, path, paths);
  const outside = relative === '..' || relative.startsWith('../') || paths.isAbsolute(relative);
  return outside ? undefined : relative;
}

/** A glob as a user writes it: on Windows a backslash is a separator, elsewhere it takes the meaning of what follows. */
export function portableGlob(glob: string, platform: NodeJS.Platform = process.platform): string {
  return platform === 'win32' ? glob.replaceAll('\\', '/') : glob;
}
