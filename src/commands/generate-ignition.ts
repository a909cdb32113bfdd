import { readFile, stat } from 'node:fs/promises';
import { join, parse, relative, resolve } from 'node:path';
import type { Host } from '../host/host.ts';
import { type Butane, specVersion, startButane, VirtualTree } from '../ignition/index.ts';
import { assertWritable, writeFileAtomic } from '../io/atomic-file.ts';
import { type Finding, FindingsError, hasCode, messageOf, quote, UsageError } from '../io/errors.ts';
import { sha256 } from '../io/hash.ts';
import { defineCommand, type InputValues } from './command.ts';
import type { OutputFile } from './outputs.ts';

const inputs = {
  butane: {
    type: 'list',
    required: true,
    description:
      'Butane files in the order in which they are compiled: `file.bu`, whose result is `file.ign`, or `file.bu=name.ign`.',
  },
  'files-dir': {
    type: 'path',
    default: '.',
    description: 'The folder that `local:` paths and `trees` in Butane files start from; nothing outside is read.',
  },
  'output-dir': { type: 'path', default: '.', description: 'Where the results go.' },
  strict: { type: 'boolean', default: true, description: 'Warnings of Butane are failures.' },
  pretty: { type: 'boolean', default: false, description: 'Indent the JSON.' },
  executable: {
    type: 'list',
    description: 'Globs of files in `files-dir` that are executable, whatever their mode on disk: `scripts/**`.',
  },
} as const;

const outputs = {
  files: { type: 'json', description: 'The results in order: `path`, `size` and `sha256` of each.' },
  'spec-version': { type: 'string', description: 'The newest Ignition spec version among the results.' },
} as const;

/** A Butane file and the name of its result, relative to the output folder, with slashes. */
export interface Target {
  readonly butane: string;
  readonly output: string;
}

interface Result extends Target {
  readonly ignition: Uint8Array;
}

export const command = defineCommand({
  name: 'generate-ignition',
  summary: 'Compiles Butane files to Ignition configs.',
  description: [
    'Runs Butane, which is built in. A later file sees the results of earlier ones under their names, as if they stood in',
    '`files-dir`. Everything is compiled before the first result is written.',
  ].join(' '),
  inputs,
  outputs,
  branding: { icon: 'file-text', color: 'orange' },
  async run(values, host) {
    const targets = parseTargets(values.butane);
    const sources = await readSources(targets, host);
    const tree = openTree(values, host);
    const results = compileAll(await startButane(), sources, { tree, values, host });
    const inputFiles = [
      ...targets.map(({ butane }) => resolve(host.cwd, butane)),
      ...tree.readFiles().map(({ path }) => resolve(host.cwd, values['files-dir'], path)),
    ];
    const files = await writeResults(results, inputFiles, values['output-dir'], host);
    return { files, 'spec-version': newestSpec(results) };
  },
});

/**
 * Reads `file.bu` and `file.bu=name.ign`. The last `=` counts, so that a file name may hold one if the result is named.
 *
 * @throws UsageError with a sentence per mistake
 */
export function parseTargets(texts: readonly string[]): Target[] {
  const targets = texts.map((text) => {
    const split = text.lastIndexOf('=');
    if (split < 0) return { butane: text, output: `${parse(text).name}.ign` };
    return { butane: text.slice(0, split).trim(), output: text.slice(split + 1).trim() };
  });
  const mistakes = targets.flatMap(({ butane, output }, index) => {
    const text = quote(texts[index]);
    if (butane === '') return [`"butane" has ${text}, which names no file: write file.bu=name.ign`];
    if (!isPlainName(output)) {
      return [`"butane" has ${text}, whose result has to be a name in "output-dir", without ".." and not absolute`];
    }
    const first = targets.findIndex((other) => other.output === output);
    if (first === index) return [];
    return [
      `"butane" has ${quote(texts[first])} and ${text} with the same result ${quote(output)}: name it file.bu=name.ign`,
    ];
  });
  if (mistakes.length > 0) throw new UsageError(mistakes.join('\n'));
  return targets;
}

/** Names separated by single slashes, none of which leads elsewhere on any system. */
function isPlainName(output: string): boolean {
  return !/[\\:\0\r\n]/.test(output) && output.split('/').every((name) => !['', '.', '..'].includes(name));
}

async function readSources(targets: readonly Target[], host: Host): Promise<(Target & { source: Uint8Array })[]> {
  const failures: string[] = [];
  const sources: (Target & { source: Uint8Array })[] = [];
  for (const target of targets) {
    try {
      sources.push({ ...target, source: await readSource(resolve(host.cwd, target.butane)) });
    } catch (error) {
      failures.push(`"butane" names ${quote(target.butane)}, which ${messageOf(error)}`);
    }
  }
  if (failures.length > 0) throw new Error(failures.join('\n'));
  return sources;
}

/** Far more than a Butane file has; it keeps a disk image given by mistake out of memory. */
const MAX_SOURCE = 64 * 1024 * 1024;

async function readSource(path: string): Promise<Uint8Array> {
  const found = await stat(path).catch((error: unknown) => {
    throw new Error(hasCode(error, 'ENOENT', 'ENOTDIR') ? "doesn't exist" : `can't be read: ${messageOf(error)}`);
  });
  if (!found.isFile()) throw new Error("isn't a regular file");
  if (found.size > MAX_SOURCE) throw new Error(`is too large for a Butane file: ${found.size} bytes`);
  return readFile(path).catch((error: unknown) => {
    throw new Error(`can't be read: ${messageOf(error)}`);
  });
}

function openTree(values: InputValues<typeof inputs>, host: Host): VirtualTree {
  try {
    return new VirtualTree(resolve(host.cwd, values['files-dir']), { executable: values.executable });
  } catch (error) {
    throw new Error(`"files-dir" is ${quote(values['files-dir'])}: ${messageOf(error)}`, { cause: error });
  }
}

/** Compiles in order, and goes on after a failure so that all findings are told. */
function compileAll(
  butane: Butane,
  sources: readonly (Target & { source: Uint8Array })[],
  options: { tree: VirtualTree; values: InputValues<typeof inputs>; host: Host },
): Result[] {
  const { tree, values, host } = options;
  const { strict, pretty } = values;
  const results: Result[] = [];
  const failures: FindingsError[] = [];
  const missing: string[] = [];
  for (const { butane: name, output, source } of sources) {
    try {
      const { ignition, findings } = butane.compile({ source, name, tree, strict, pretty });
      findings.forEach(host.report);
      tree.put(output, ignition);
      results.push({ butane: name, output, ignition });
    } catch (error) {
      if (!(error instanceof FindingsError)) throw error;
      const findings = error.findings.filter((finding) => !isConsequence(finding, missing));
      if (findings.length > 0) failures.push(new FindingsError(error.message, findings));
      missing.push(output);
    }
  }
  if (failures.length === 0) return results;
  throw new FindingsError(
    failures.map(({ message }) => message).join('\n'),
    failures.flatMap(({ findings }) => findings),
  );
}

/** A file that isn't there only because compiling it failed is no finding of its own. */
function isConsequence({ message }: Finding, missing: readonly string[]): boolean {
  return missing.some((name) => message.toLowerCase().startsWith(`open ${name}: no such file`.toLowerCase()));
}

/**
 * Writes what isn't there yet; a file that has the same bytes already stays as it is.
 *
 * @param inputFiles absolute paths of what was read
 */
async function writeResults(
  results: readonly Result[],
  inputFiles: readonly string[],
  outputDir: string,
  host: Host,
): Promise<OutputFile[]> {
  const folder = resolve(host.cwd, outputDir);
  const planned = await Promise.all(
    results.map(async (result) => {
      const path = join(folder, result.output);
      if (inputFiles.includes(path)) {
        throw new Error(
          `${quote(result.output)} is an input too: put ${quote(result.butane)} before what reads it, or name its result otherwise`,
        );
      }
      return { ...result, path, unchanged: await isUnchanged(path, result.ignition) };
    }),
  );
  for (const { path, ignition, butane, unchanged } of planned) {
    if (!unchanged) await writeFileAtomic(path, ignition);
    host.info(`${butane} → ${relative(host.cwd, path)}${unchanged ? ' (unchanged)' : ''}`);
  }
  return planned.map(({ output, ignition }) => ({
    path: join(outputDir, output),
    size: ignition.length,
    sha256: sha256(ignition),
  }));
}

/** @throws Error if something else stands there */
async function isUnchanged(path: string, ignition: Uint8Array): Promise<boolean> {
  const existing = await stat(path).catch(() => undefined);
  if (existing?.isFile() && existing.size === ignition.length && (await readFile(path)).equals(ignition)) return true;
  if (existing?.isFile()) {
    throw new Error(`${path} exists already with other contents: remove it, or choose another "output-dir"`);
  }
  await assertWritable(path, false);
  return false;
}

function newestSpec(results: readonly Result[]): string {
  const versions = results.map(({ ignition }) => specVersion(ignition));
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1) ?? '';
}
