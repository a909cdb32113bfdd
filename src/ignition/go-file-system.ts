import { REFUSED, TreeError, treeError } from './tree-error.ts';
import type { VirtualTree } from './virtual-tree.ts';
import type { TreeNode } from './walk.ts';

type Callback = (error: { code: string } | null, result?: unknown) => void;

interface OpenFile {
  readonly node: TreeNode;
  /** Undefined for a folder. */
  readonly bytes: Uint8Array | undefined;
  position: number;
}

/** The real folder can be large, an Ignition config can't: more than this in one config would only exhaust the memory. */
const MAX_BYTES_PER_CALL = 256 * 1024 * 1024;

/** Codes that Go's `syscall` package knows and a read-only file system has use for; it panics on others. */
const KNOWN_CODES = /^E(NOENT|NOTDIR|ISDIR|LOOP|INVAL|ACCES|PERM|NAMETOOLONG|BADF|NOSYS|ROFS|MFILE|NFILE|BUSY|IO)$/;

/**
 * The part of Node's `fs` that Go's `syscall` package calls, answered at once from a virtual tree: a Go program sees
 * the tree of the call at hand as its current folder, and nothing else.
 */
export class GoFileSystem {
  readonly constants = {
    O_WRONLY: 1,
    O_RDWR: 2,
    O_CREAT: 64,
    O_EXCL: 128,
    O_TRUNC: 512,
    O_APPEND: 1024,
    O_DIRECTORY: 65536,
  };
  #tree: VirtualTree | undefined;
  #bytesLeft = 0;
  #refusals = new Map<string, string>();
  readonly #open = new Map<number, OpenFile>();
  #nextDescriptor = 3;
  #stderr = '';

  /** Runs `call` with `tree` as the current folder. */
  using<T>(tree: VirtualTree, call: () => T): T {
    this.#tree = tree;
    this.#bytesLeft = MAX_BYTES_PER_CALL;
    this.#refusals = new Map();
    try {
      return call();
    } finally {
      this.#tree = undefined;
      this.#open.clear();
    }
  }

  /** Why an operation on `path` was refused in the last call; Go only hears a number. */
  refusal(path: string): string | undefined {
    return this.#refusals.get(path);
  }

  /** The end of what the program wrote to its standard error, such as the reason for a crash. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Output of the Go runtime itself. */
  writeSync(_descriptor: number, bytes: Uint8Array): number {
    this.#stderr = (this.#stderr + new TextDecoder().decode(bytes)).slice(-16_384);
    return bytes.length;
  }

  open(path: string, flags: number, _mode: number, callback: Callback): void {
    const { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC } = this.constants;
    this.#answer(path, callback, (tree) => {
      if (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) throw new TreeError('EROFS', path, "can't be written");
      const node = tree.stat(path);
      const bytes = node.kind === 'folder' ? undefined : tree.readFile(path, this.#bytesLeft);
      this.#bytesLeft -= bytes?.length ?? 0;
      this.#open.set(this.#nextDescriptor, { node, bytes, position: 0 });
      return this.#nextDescriptor++;
    });
  }

  read(
    descriptor: number,
    buffer: Uint8Array,
    offset: number,
    length: number,
    position: number | null,
    callback: Callback,
  ): void {
    const file = this.#open.get(descriptor);
    if (!file?.bytes) {
      callback({ code: file ? 'EISDIR' : 'EBADF' });
      return;
    }
    const start = position ?? file.position;
    const bytes = file.bytes.subarray(start, start + length);
    buffer.set(bytes, offset);
    if (position === null) file.position += bytes.length;
    callback(null, bytes.length);
  }

  close(descriptor: number, callback: Callback): void {
    callback(this.#open.delete(descriptor) ? null : { code: 'EBADF' });
  }

  fstat(descriptor: number, callback: Callback): void {
    const file = this.#open.get(descriptor);
    if (file) callback(null, stats({ ...file.node, size: file.bytes?.length ?? 0 }));
    else callback({ code: 'EBADF' });
  }

  stat(path: string, callback: Callback): void {
    this.#answer(path, callback, (tree) => stats(tree.stat(path)));
  }

  lstat(path: string, callback: Callback): void {
    this.#answer(path, callback, (tree) => stats(tree.lstat(path)));
  }

  readdir(path: string, callback: Callback): void {
    this.#answer(path, callback, (tree) => tree.readdir(path));
  }

  readlink(path: string, callback: Callback): void {
    this.#answer(path, callback, (tree) => tree.readlink(path));
  }

  #answer(path: string, callback: Callback, work: (tree: VirtualTree) => unknown): void {
    let answer: Parameters<Callback>;
    try {
      answer = [null, work(this.#currentTree(path))];
    } catch (error) {
      answer = [{ code: this.#codeOf(error, path) }];
    }
    // Outside the try: the callback runs Go, whose errors aren't the file system's.
    callback(...answer);
  }

  #currentTree(path: string): VirtualTree {
    if (this.#tree) return this.#tree;
    throw treeError('ENOENT', path);
  }

  #codeOf(error: unknown, path: string): string {
    if (!(error instanceof TreeError)) throw error;
    if (error.code === REFUSED) this.#refusals.set(path, error.message);
    return KNOWN_CODES.test(error.code) ? error.code : 'EIO';
  }
}

/** Node's `Stats` as far as Go reads it. */
function stats({ kind, mode, size }: TreeNode): unknown {
  const zero = { dev: 0, ino: 0, nlink: 1, uid: 0, gid: 0, rdev: 0, blksize: 4096, blocks: 0 };
  return { ...zero, mode, size, atimeMs: 0, mtimeMs: 0, ctimeMs: 0, isDirectory: () => kind === 'folder' };
}
