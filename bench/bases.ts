import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { writeDemoBase } from '../scripts/demo-base.ts';
import { benchFolder } from './harness.ts';

/** A hybrid ISO of about `size` bytes with incompressible contents; made once, and kept for later runs. */
export async function baseIso(size: number): Promise<string> {
  const path = join(benchFolder(), `k4all-bench-base-${size}.iso`);
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) await writeDemoBase(path, { rootfsSize: size });
  return path;
}
