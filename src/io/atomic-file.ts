import { randomBytes } from 'node:crypto';
import { chmod, constants, copyFile, type FileHandle, link, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { hasCode } from './errors.ts';

export interface AtomicFileOptions {
  readonly force?: boolean;
  readonly mode?: number;
  readonly copyOf?: { readonly path: string; readonly flags: number } | undefined;
}

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
  /** Whether it began as a copy, see `create`. */
  readonly isCopy: boolean;
  readonly #force: boolean;
  #open = true;
  #committed = false;

  private constructor(fields: Pick<AtomicFile, 'path' | 'temporaryPath' | 'handle' | 'isCopy'>, force: boolean) {
    this.path = fields.path;
    this.temporaryPath = fields.temporaryPath;
    this.handle = fields.handle;
    this.isCopy = fields.isCopy;
    this.#force = force;
  }

  /**
   * @param options.force replace an existing file on `commit`
   * @param options.mode permission bits of the new file, before the umask
   * @param options.copyOf begin with this file's contents, copied as `fs.copyFile` does with these flags; where that
   *   isn't possible, the file begins empty
   * @throws Error if the target exists and `force` isn't set
   */
  static async create(path: string, options: AtomicFileOptions = {}): Promise<AtomicFile> {
    const { force = false, mode = 0o666, copyOf } = options;
    await assertWritable(path, force);
    await mkdir(dirname(resolve(path)), { recursive: true });
    const temporaryPath = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.partial`);
    const isCopy = copyOf !== undefined && (await startFromCopy(copyOf, temporaryPath));
    const handle = await open(temporaryPath, isCopy ? 'r+' : 'wx+', mode);
    return new AtomicFile({ path, temporaryPath, handle, isCopy }, force);
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

/** Whether the copy was made; a failed one leaves nothing behind. */
async function startFromCopy(
  { path, flags }: NonNullable<AtomicFileOptions['copyOf']>,
  target: string,
): Promise<boolean> {
  try {
    await copyFile(path, target, flags | constants.COPYFILE_EXCL);
    // The copy has the permissions of its origin, which may be read-only.
    await chmod(target, 0o666 & ~process.umask());
    return true;
  } catch (error) {
    await rm(target, { force: true });
    if (hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
    return false;
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
