import { open } from 'node:fs/promises';
import { hasCode } from '../io/errors.ts';
import type { Patch } from '../io/patch.ts';

/**
 * Writes patches into an existing file, then reads them back through a new handle.
 *
 * @throws Error if the file can't be written
 */
export async function patchInPlace(path: string, patches: readonly Patch[], name = path): Promise<void> {
  const handle = await open(path, 'r+').catch((error: unknown) => {
    if (!hasCode(error, 'EACCES', 'EPERM', 'EROFS')) throw error;
    throw new Error(`${name} can't be written: change its permissions, or name another file with "output"`, {
      cause: error,
    });
  });
  try {
    for (const { offset, bytes } of patches) {
      let done = 0;
      while (done < bytes.length) {
        done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
      }
    }
  } finally {
    await handle.close();
  }
}
