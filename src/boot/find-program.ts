import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

export type Environment = Readonly<Record<string, string | undefined>>;

/** The first executable of that name on the PATH, or in one of the `further` folders. */
export async function findProgram(
  name: string,
  env: Environment,
  further: readonly string[] = [],
): Promise<string | undefined> {
  const file = process.platform === 'win32' ? `${name}.exe` : name;
  const path = env.PATH ?? env.Path ?? '';
  for (const folder of [...path.split(delimiter), ...further]) {
    if (folder && (await isExecutable(join(folder, file)))) return join(folder, file);
  }
  return undefined;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The first of the files that can be read. */
export async function firstReadable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await access(path, constants.R_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
