import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { sha256 } from '../../src/io/hash.ts';
import type { LabFile } from './boot.ts';

interface ButaneFile {
  readonly passwd?: { readonly users?: readonly { readonly name: string; readonly ssh_authorized_keys?: string[] }[] };
  readonly storage?: {
    readonly files?: readonly {
      readonly path: string;
      readonly mode?: number;
      readonly contents?: { readonly inline?: string; readonly local?: string };
    }[];
    readonly trees?: readonly { readonly local: string; readonly path?: string }[];
  };
  readonly systemd?: {
    readonly units?: readonly { readonly name: string; readonly enabled?: boolean; readonly contents?: string }[];
  };
}

/**
 * What a machine must hold after booting with Butane files merged in this order, read from the YAML itself and not from
 * anything that this project compiles. Covers what the example uses: files, trees, units, users with keys.
 *
 * @param options.executable whether the file of that path in `folder` gets the executable bit
 * @param options.results contents of `local:` files that are compiled and not in the folder
 */
export async function expectedFiles(
  folder: string,
  butaneFiles: readonly string[],
  options: { executable: (path: string) => boolean; results?: Readonly<Record<string, string>> },
): Promise<Map<string, LabFile>> {
  const files = new Map<string, LabFile>();
  const put = (path: string, content: string | Buffer, mode: string, owner = '0:0') =>
    files.set(path, { mode, owner, sha256: sha256(content) });
  const local = async (path: string) => options.results?.[path] ?? (await readFile(join(folder, path)));
  let presets = '';
  for (const name of butaneFiles) {
    const config = parse(await readFile(join(folder, name), 'utf8')) as ButaneFile;
    for (const { local: source, path = '/' } of config.storage?.trees ?? []) {
      for (const entry of await readdir(join(folder, source), { recursive: true, withFileTypes: true })) {
        if (!entry.isFile()) continue;
        const from = join(entry.parentPath, entry.name).slice(join(folder, '/').length);
        const to = join(path, from.slice(source.length));
        put(to, await local(from), options.executable(from) ? '755' : '644');
      }
    }
    for (const { path, mode = 0o644, contents } of config.storage?.files ?? []) {
      const content = contents?.local === undefined ? (contents?.inline ?? '') : await local(contents.local);
      put(path, content, mode.toString(8));
    }
    for (const { name: unit, enabled, contents } of config.systemd?.units ?? []) {
      if (contents !== undefined) put(`/etc/systemd/system/${unit}`, contents, '644');
      if (enabled !== undefined) presets += `${enabled ? 'enable' : 'disable'} ${unit}\n`;
    }
    for (const { name: user, ssh_authorized_keys: keys = [] } of config.passwd?.users ?? []) {
      // The first user of the laboratory's root.
      put(`/home/${user}/.ssh/authorized_keys.d/ignition`, `${keys.join('\n')}\n`, '600', '1000:1000');
    }
  }
  put('/etc/systemd/system-preset/20-ignition.preset', presets, '644');
  return files;
}
