import { isAbsolute } from 'node:path';
import { quote } from '../io/errors.ts';
import { REFUSED, TreeError, treeError } from './tree-error.ts';

/** What stands at a path. `mode` has the type bits too, as `st_mode`; `size` is in bytes. */
export interface TreeNode {
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  readonly mode: number;
  readonly size: number;
}

/** The end of a walk: the names from the top, none of them a link on the way, and what is there, if anything. */
export interface Place {
  readonly names: readonly string[];
  readonly node: TreeNode | undefined;
}

/** What a walk asks about the tree; `path` is the whole path, for messages. */
export interface Entries {
  lookup(names: readonly string[], path: string): TreeNode | undefined;
  linkTarget(names: readonly string[], path: string): string;
  /** The names for a target that is absolute or leads above the top, if it comes back into the tree. */
  reenter(target: string): string[] | undefined;
}

export interface WalkOptions {
  /** A link at the end is followed too. */
  readonly followLast: boolean;
  /** What is missing isn't an error, because it is going to be made. */
  readonly create: boolean;
}

export const FOLDER: TreeNode = { kind: 'folder', mode: 0o040755, size: 0 };

/** As Linux has it. */
const MAX_LINKS = 40;

/**
 * Walks a path name by name as the kernel does, so that no link on the way is followed out of the tree.
 *
 * @throws TreeError with the kernel's code, or with `REFUSED` where the path leaves the tree
 */
export function walk(entries: Entries, path: string, options: WalkOptions): Place {
  if (path === '') throw treeError('ENOENT', path);
  if (path.includes('\0')) throw treeError('EINVAL', path);
  if (path.startsWith('/')) throw new TreeError(REFUSED, path, 'is absolute, and leads out of the folder');
  const walker = new Walker(entries, path, options);
  while (walker.step());
  return { names: walker.names, node: walker.node };
}

class Walker {
  names: readonly string[] = [];
  node: TreeNode | undefined = FOLDER;
  readonly #entries: Entries;
  readonly #path: string;
  readonly #options: WalkOptions;
  #ahead: string[];
  #links = 0;

  constructor(entries: Entries, path: string, options: WalkOptions) {
    this.#entries = entries;
    this.#path = path;
    this.#options = options;
    this.#ahead = path.split('/');
  }

  /** Goes one name further; false at the end. */
  step(): boolean {
    const name = this.#ahead.shift();
    if (name === undefined) return false;
    this.#assertFolder();
    if (name === '..') this.#up();
    else if (name !== '' && name !== '.') this.#down(name);
    return true;
  }

  #assertFolder(): void {
    if (this.node === undefined && !this.#options.create) throw treeError('ENOENT', this.#path);
    if (this.node !== undefined && this.node.kind !== 'folder') throw treeError('ENOTDIR', this.#path);
  }

  #up(): void {
    if (this.names.length === 0) this.#reenter(['..', ...this.#ahead].join('/'));
    else this.#moveTo(this.names.slice(0, -1));
  }

  #down(name: string): void {
    const place = [...this.names, name];
    const node = this.#entries.lookup(place, this.#path);
    if (node?.kind === 'link' && (this.#options.followLast || this.#ahead.length > 0)) this.#follow(place);
    else [this.names, this.node] = [place, node];
  }

  /** The link's target takes the place of its name; it starts in the folder that the link stands in. */
  #follow(link: readonly string[]): void {
    if (++this.#links > MAX_LINKS) throw treeError('ELOOP', this.#path);
    const target = this.#entries.linkTarget(link, this.#path);
    if (isAbsolute(target)) this.#reenter([target, ...this.#ahead].join('/'));
    else this.#ahead.unshift(...target.split('/'));
  }

  #reenter(target: string): void {
    const names = this.#entries.reenter(target);
    if (!names) throw new TreeError(REFUSED, this.#path, `leads out of the folder, to ${quote(target)}`);
    this.#ahead = names;
    this.#moveTo([]);
  }

  #moveTo(names: readonly string[]): void {
    this.names = names;
    this.node = names.length === 0 ? FOLDER : this.#entries.lookup(names, this.#path);
  }
}
