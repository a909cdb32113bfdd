import { randomBytes } from 'node:crypto';
import { type FileHandle, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { hasCode } from './errors.ts';

/**
 * A file that appears under its name only when it is complete. It is written to a temporary file beside the target and
 * renamed on `commit`; leaving the scope without `commit` removes the temporary file. After kill -9 a hidden
 * `.NAME.RANDOM.partial` may stay behind, never a partial file under the final name.
 *
 *     await using file = await AtomicFile.create('out/a.iso', { force });
 *     await file.handle.write(bytes);
 *     await file.commit();
 */
export class AtomicFile implements AsyncDisposable {
  readonly path: string;
  /** Where the bytes are until `commit`. */
  readonly temporaryPath: string;
  readonly handle: FileHandle;
  readonly #force: boolean;
  #open = true;
  #committed = false;

  private constructor(path: string, temporaryPath: string, handle: FileHandle, force: boolean) {
    this.path = path;
    this.temporaryPath = temporaryPath;
    this.handle = handle;
    this.#force = force;
  }

  /**
   * @param options.force replace an existing file on `commit`
   * @param options.mode permission bits of the new file, before the umask
   * @throws Error if the target exists and `force` isn't set
   */
  static async create(path: string, options: { force?: boolean; mode?: number } = {}): Promise<AtomicFile> {
    const { force = false, mode = 0o666 } = options;
    await assertWritable(path, force);
    await mkdir(dirname(resolve(path)), { recursive: true });
    const temporaryPath = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.partial`);
    const handle = await open(temporaryPath, 'wx+', mode);
    return new AtomicFile(path, temporaryPath, handle, force);
  }

  /** Gives the complete file its name. Without `force` a file that appeared meanwhile is kept and is an error. */
  async commit(): Promise<void> {
    await this.#close();
    if (this.#force) await rename(this.temporaryPath, this.path);
    else await this.#renameWithoutReplacing();
    this.#committed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
    if (!this.#committed) await rm(this.temporaryPath, { force: true });
  }

  async #renameWithoutReplacing(): Promise<void> {
    try {
      await link(this.temporaryPath, this.path);
      await rm(this.temporaryPath, { force: true });
    } catch (error) {
      if (hasCode(error, 'EEXIST')) throw existsError(this.path);
      // The file system has no hard links (FAT, some network mounts): check once more and rename.
      await assertWritable(this.path, false);
      await rename(this.temporaryPath, this.path);
    }
  }

  async #close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.handle.close();
  }
}

/** Writes a small file atomically. */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: { force?: boolean; mode?: number } = {},
): Promise<void> {
  await using file = await AtomicFile.create(path, options);
  await file.handle.writeFile(data);
  await file.commit();
}

/**
 * Checks early that an output may be written.
 *
 * @throws Error if it exists and `force` isn't set, or if it is a folder
 */
export async function assertWritable(path: string, force: boolean): Promise<void> {
  const existing = await stat(path).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  if (existing?.isDirectory()) throw new Error(`${path} is a folder, not a file that can be written`);
  if (existing && !force) throw existsError(path);
}

function existsError(path: string): Error {
  return new Error(`${path} exists already: remove it, or set "force" to replace it`);
}
