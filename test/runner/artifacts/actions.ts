import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rolldown } from 'rolldown';
import { stringify } from 'yaml';

/** Inputs that the workflows of the suite give, with the defaults of the real actions. */
const INPUTS = {
  upload: { name: 'artifact', path: '', ...unused('compression-level', 'overwrite', 'retention-days') },
  download: { pattern: '', path: '' },
};

/** The stand-ins' bundles: each is an action of one file. */
const bundles = new Map<string, Promise<string>>();

/**
 * Writes an action that stands for `actions/<kind>-artifact` and talks to the runner's artifact server with GitHub's own
 * client.
 *
 * @returns its folder
 */
export async function writeArtifactAction(kind: keyof typeof INPUTS, parent: string): Promise<string> {
  const bundle = bundles.get(kind) ?? bundled(kind);
  bundles.set(kind, bundle);
  const folder = join(parent, `${kind}-artifact`);
  await mkdir(folder, { recursive: true });
  const inputs = Object.entries({ ...INPUTS[kind], 'if-no-files-found': 'warn' });
  const action = {
    name: `${kind}-artifact`,
    description: 'A stand-in',
    inputs: Object.fromEntries(inputs.map(([name, value]) => [name, { description: name, default: value }])),
    runs: { using: 'node24', main: 'main.mjs' },
  };
  await writeFile(join(folder, 'action.yml'), stringify(action));
  await writeFile(join(folder, 'main.mjs'), await bundle);
  return folder;
}

async function bundled(kind: string): Promise<string> {
  const input = join(import.meta.dirname, `${kind}.ts`);
  const bundle = await rolldown({ input, platform: 'node', logLevel: 'silent' });
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false });
  return output[0].code;
}

function unused(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, '']));
}
