import { lstatSync, readdirSync, readFileSync, readlinkSync, realpathSync, type Stats, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import picomatch from 'picomatch';
import { hasCode, quote } from '../io/errors.ts';
import { sha256 } from '../io/hash.ts';
import { pathInside, portableGlob } from '../io/paths.ts';
import { REFUSED, TreeError, treeError } from './tree-error.ts';
import { FOLDER, type TreeNode, walk } from './walk.ts';

/** A file of the real folder whose contents were read; `path` is relative to it, with slashes. */
export interface ReadFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

interface GeneratedFile {
  readonly bytes: Uint8Array;
  readonly mode: number;
}

const REGULAR = 0o100000;

/**
 * A real folder with generated files in memory over it. Nothing outside the folder can be reached: not by `..`, not by
 * an absolute path, and not by following a link. Nothing is ever written to it. Paths are relative to the folder and
 * have slashes on every system.
 */
export class VirtualTree {
  /** The folder by its real name, and as it was named, for links that hold that name. */
  readonly #roots: readonly [string, string];
  readonly #isExecutable: (path: string) => boolean;
  readonly #isWindows: boolean;
  readonly #generated = new Map<string, GeneratedFile>();
  readonly #generatedFolders = new Set<string>(['']);
  readonly #read = new Map<string, ReadFile>();
  readonly #entries = {
    lookup: (names: readonly string[], path: string) => this.#lookup(names, path),
    linkTarget: (names: readonly string[], path: string) => this.#linkTarget(names, path),
    reenter: (target: string) => this.#reenter(target),
  };

  /**
   * @param folder the real folder
   * @param options.executable globs of files, relative to the folder, that have the mode 0755 whatever the disk says
   * @param options.platform as `process.platform`
   * @throws Error if there is no such folder
   */
  constructor(folder: string, options: { executable?: readonly string[]; platform?: NodeJS.Platform } = {}) {
    const { executable = [], platform = process.platform } = options;
    this.#roots = [realFolder(folder), resolve(folder)];
    this.#isWindows = platform === 'win32';
    const globs = executable.map((glob) => portableGlob(glob, platform));
    this.#isExecutable = globs.length > 0 ? picomatch(globs, { dot: true }) : () => false;
  }

  /** Adds a generated file, or replaces what has its name, with permission bits `mode`. */
  put(path: string, bytes: Uint8Array, mode = 0o644): void {
    const { names, node } = walk(this.#entries, path, { followLast: false, create: true });
    if (node?.kind === 'folder') throw treeError('EISDIR', path);
    if (names.length === 0) throw treeError('EISDIR', path);
    this.#generated.set(names.join('/'), { bytes, mode: REGULAR | mode });
    for (let depth = 1; depth < names.length; depth++) this.#generatedFolders.add(names.slice(0, depth).join('/'));
  }

  /** What stands at `path`, links followed. */
  stat(path: string): TreeNode {
    return this.#existing(path, true).node;
  }

  /** What stands at `path`; a link at its end isn't followed. */
  lstat(path: string): TreeNode {
    return this.#existing(path, false).node;
  }

  /** The names in a folder, in no particular order. */
  readdir(path: string): string[] {
    const { names, node } = this.#existing(path, true);
    if (node.kind !== 'folder') throw treeError('ENOTDIR', path);
    const folder = names.join('/');
    const found = new Set(this.#generatedNames(folder));
    try {
      for (const name of readdirSync(this.#realPath(names))) found.add(name);
    } catch (error) {
      if (!(this.#generatedFolders.has(folder) && hasCode(error, 'ENOENT'))) throw toTreeError(error, path);
    }
    return [...found];
  }

  /** Where a link leads, as it is written there; with slashes on Windows too. */
  readlink(path: string): string {
    const { names, node } = this.#existing(path, false);
    if (node.kind !== 'link') throw treeError('EINVAL', path);
    return this.#linkTarget(names, path);
  }

  /**
   * The contents of a regular file, links followed. A real file is remembered for `readFiles`.
   *
   * @param maxSize in bytes; a larger file is refused before it is read
   */
  readFile(path: string, maxSize = Number.POSITIVE_INFINITY): Uint8Array {
    const { names, node } = this.#existing(path, true);
    if (node.kind === 'folder') throw treeError('EISDIR', path);
    if (node.kind !== 'file') throw new TreeError(REFUSED, path, 'is neither a file, a folder nor a link');
    if (node.size > maxSize)
      throw new TreeError(REFUSED, path, `is too large: ${node.size} bytes of ${maxSize} allowed`);
    const name = names.join('/');
    const generated = this.#generated.get(name);
    if (generated) return generated.bytes;
    try {
      const bytes = readFileSync(this.#realPath(names));
      this.#read.set(name, { path: name, size: bytes.length, sha256: sha256(bytes) });
      return bytes;
    } catch (error) {
      throw toTreeError(error, path);
    }
  }

  /** The real files whose contents were read so far, sorted by path. Generated files aren't among them. */
  readFiles(): ReadFile[] {
    return [...this.#read.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  #existing(path: string, followLast: boolean): { names: readonly string[]; node: TreeNode } {
    const { names, node } = walk(this.#entries, path, { followLast, create: false });
    if (!node) throw treeError('ENOENT', path);
    return { names, node };
  }

  /** The names from the top of the tree for a path that left it, provided that it comes back. */
  #reenter(target: string): string[] | undefined {
    for (const root of this.#roots) {
      // Kept as it is written, because `..` after a link isn't the folder that the text suggests.
      if (target.startsWith(`${root}/`)) return target.slice(root.length + 1).split('/');
    }
    for (const root of this.#roots) {
      const inside = pathInside(root, target);
      if (inside !== undefined) return inside.split('/');
    }
    return undefined;
  }

  #lookup(names: readonly string[], path: string): TreeNode | undefined {
    const name = names.join('/');
    const generated = this.#generated.get(name);
    if (generated) return this.#fileNode(name, generated.mode, generated.bytes.length);
    if (this.#generatedFolders.has(name)) return FOLDER;
    try {
      const stats = lstatSync(this.#realPath(names), { throwIfNoEntry: false });
      return stats && this.#realNode(name, stats);
    } catch (error) {
      throw toTreeError(error, path);
    }
  }

  #realNode(name: string, stats: Stats): TreeNode {
    const { mode, size } = stats;
    if (stats.isFile()) return this.#fileNode(name, mode, size);
    return { kind: stats.isDirectory() ? 'folder' : stats.isSymbolicLink() ? 'link' : 'other', mode, size };
  }

  #fileNode(name: string, mode: number, size: number): TreeNode {
    return { kind: 'file', mode: this.#isExecutable(name) ? REGULAR | 0o755 : mode, size };
  }

  #linkTarget(names: readonly string[], path: string): string {
    try {
      const target = readlinkSync(this.#realPath(names));
      return this.#isWindows ? target.replaceAll('\\', '/') : target;
    } catch (error) {
      throw toTreeError(error, path);
    }
  }

  #realPath(names: readonly string[]): string {
    // On Windows a name with one of these is a path, a drive or a stream, and `join` would leave the folder with it.
    if (this.#isWindows) {
      const strange = names.find((name) => /[\\:]/.test(name));
      if (strange !== undefined)
        throw new TreeError(REFUSED, names.join('/'), `has ${quote(strange)} as a name: use slashes`);
    }
    return join(this.#roots[0], ...names);
  }

  #generatedNames(folder: string): string[] {
    const prefix = folder === '' ? '' : `${folder}/`;
    const below = [...this.#generated.keys(), ...this.#generatedFolders].filter(
      (path) => path.startsWith(prefix) && path.length > prefix.length,
    );
    return below.map((path) => path.slice(prefix.length).split('/')[0] ?? '');
  }
}

function realFolder(folder: string): string {
  try {
    const real = realpathSync(folder);
    if (statSync(real).isDirectory()) return real;
  } catch (error) {
    throw new Error(`the folder ${quote(folder)} can't be read`, { cause: error });
  }
  throw new Error(`${quote(folder)} isn't a folder`);
}

function toTreeError(error: unknown, path: string): TreeError {
  if (error instanceof TreeError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'EIO';
  return treeError(code === REFUSED ? 'EACCES' : code, path);
}
