import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
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
  options: ReadOptions,
): Promise<Map<string, LabFile>> {
  const files = new Map<string, LabFile>();
  for (const name of butaneFiles) {
    const config = await readButane(folder, name);
    for (const [path, file] of [
      ...(await treeFiles(folder, config, options)),
      ...(await plainFiles(folder, config, options)),
      ...unitFiles(config),
      ...keyFiles(config),
    ]) {
      files.set(path, file);
    }
  }
  return files;
}

interface ReadOptions {
  readonly executable: (path: string) => boolean;
  readonly results?: Readonly<Record<string, string>>;
}

type Entry = readonly [path: string, file: LabFile];

function labFile(content: string | Buffer, mode: string, owner = '0:0'): LabFile {
  return { mode, owner, sha256: sha256(content) };
}

async function treeFiles(folder: string, config: ButaneFile, { executable }: ReadOptions): Promise<Entry[]> {
  const found: Entry[] = [];
  for (const { local, path = '/' } of config.storage?.trees ?? []) {
    for (const entry of await readdir(join(folder, local), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const source = join(entry.parentPath, entry.name);
      const mode = executable(relative(folder, source)) ? '755' : '644';
      found.push([join(path, relative(join(folder, local), source)), labFile(await readFile(source), mode)]);
    }
  }
  return found;
}

async function plainFiles(folder: string, config: ButaneFile, { results }: ReadOptions): Promise<Entry[]> {
  const found: Entry[] = [];
  for (const { path, mode = 0o644, contents: { local, inline = '' } = {} } of config.storage?.files ?? []) {
    const content = local === undefined ? inline : (results?.[local] ?? (await readFile(join(folder, local))));
    found.push([path, labFile(content, mode.toString(8))]);
  }
  return found;
}

function unitFiles(config: ButaneFile): Entry[] {
  return (config.systemd?.units ?? []).flatMap(({ name, contents }) =>
    contents === undefined ? [] : [[`/etc/systemd/system/${name}`, labFile(contents, '644')] as const],
  );
}

/** The presets that enable and disable the units of Butane files, sorted. */
export async function expectedPresets(folder: string, butaneFiles: readonly string[]): Promise<string[]> {
  const configs = await Promise.all(butaneFiles.map((name) => readButane(folder, name)));
  const units = configs.flatMap((config) => config.systemd?.units ?? []).filter(({ enabled }) => enabled !== undefined);
  return units.map(({ name, enabled }) => `${enabled ? 'enable' : 'disable'} ${name}`).sort();
}

/** Butane reads YAML 1.1, in which 0600 is octal. */
async function readButane(folder: string, name: string): Promise<ButaneFile> {
  return parse(await readFile(join(folder, name), 'utf8'), { version: '1.1' });
}

function keyFiles(config: ButaneFile): Entry[] {
  return (config.passwd?.users ?? []).map(({ name, ssh_authorized_keys: keys = [] }) => {
    // The owner is the first user of the laboratory's root.
    return [`/home/${name}/.ssh/authorized_keys.d/ignition`, labFile(`${keys.join('\n')}\n`, '600', '1000:1000')];
  });
}
