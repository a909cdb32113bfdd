import { readFile, realpath, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Host } from '../../host/host.ts';
import { FindingsError, hasCode, quote } from '../../io/errors.ts';
import { MiB } from '../../io/sizes.ts';
import type { Customization, NamedFile } from '../../iso/index.ts';
import type { EmbedInputs } from '../embed-ignition.ts';

/** The inputs that name files, each a list. */
const FILE_INPUTS = [
  'live-ignition',
  'dest-ignition',
  'network-keyfile',
  'ignition-ca',
  'pre-install',
  'post-install',
  'installer-config',
] as const;
/** Nothing larger could be embedded. */
const MAX_FILE_SIZE = 64 * MiB;

/**
 * Reads the files that the inputs name.
 *
 * @throws Error for one that can't be read, FindingsError for several
 */
export async function readCustomization(inputs: EmbedInputs, host: Host): Promise<Customization> {
  const mistakes: string[] = [];
  const read = async (input: (typeof FILE_INPUTS)[number]) => {
    const files: NamedFile[] = [];
    for (const path of inputs[input]) {
      const data = await readInput(input, path, host.cwd).catch((error: Error) => {
        mistakes.push(error.message);
        return new Uint8Array();
      });
      files.push({ path, data });
    }
    return files;
  };
  const customization = {
    liveIgnition: await read('live-ignition'),
    destIgnition: await read('dest-ignition'),
    networkKeyfiles: await read('network-keyfile'),
    authorities: await read('ignition-ca'),
    preInstall: await read('pre-install'),
    postInstall: await read('post-install'),
    installerConfigs: await read('installer-config'),
    destDevice: inputs['dest-device'],
    destConsoles: inputs['dest-console'],
    destArgumentsAppend: inputs['dest-karg-append'],
    destArgumentsDelete: inputs['dest-karg-delete'],
  };
  const [first, ...others] = mistakes;
  if (first !== undefined && others.length === 0) throw new Error(first);
  if (first !== undefined) {
    const findings = mistakes.map((message) => ({ severity: 'error', message }) as const);
    throw new FindingsError(`${mistakes.length} inputs can't be read`, findings);
  }
  return customization;
}

async function readInput(input: string, path: string, cwd: string): Promise<Uint8Array> {
  const file = resolve(cwd, path);
  const info = await stat(file).catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error;
    throw new Error(`"${input}" names ${quote(path)}, which doesn't exist`, { cause: error });
  });
  if (!info.isFile()) {
    throw new Error(`"${input}" names ${quote(path)}, which is ${info.isDirectory() ? 'a folder' : 'no regular file'}`);
  }
  if (info.size > MAX_FILE_SIZE) {
    throw new Error(
      `"${input}" names ${quote(path)}, which has ${info.size} bytes: more than an Ignition area can take`,
    );
  }
  return readFile(file);
}

/** @throws Error if the output would replace one of the inputs */
export async function checkOutputIsNoInput(inputs: EmbedInputs, host: Host): Promise<void> {
  if (inputs.output === undefined) return;
  const real = (path: string) => realpath(resolve(host.cwd, path)).catch(() => resolve(host.cwd, path));
  const output = await real(inputs.output);
  const named = FILE_INPUTS.flatMap((input) => inputs[input].map((path) => ({ input, path })));
  const images = (['iso', 'initrd'] as const).flatMap((input) =>
    inputs[input] ? [{ input, path: inputs[input] }] : [],
  );
  for (const { input, path } of [...images, ...named]) {
    if ((await real(path)) !== output) continue;
    const fix = input === 'iso' ? '; leave out "output" to edit the ISO in place' : '';
    throw new Error(`"output" is ${quote(inputs.output)}, which is also the input "${input}"${fix}`);
  }
}
