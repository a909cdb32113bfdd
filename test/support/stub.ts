import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Writes an executable that stands for a tool; `body` is the JavaScript (ES module) that it runs. */
export async function stubProgram(folder: string, name: string, body: string): Promise<string> {
  const path = join(folder, name);
  // Started through the shell's line, so that the module may have any name.
  await writeFile(`${path}.mjs`, body);
  await writeFile(path, `#!/bin/sh\nexec '${process.execPath}' '${path}.mjs' "$@"\n`);
  await chmod(path, 0o755);
  return path;
}
