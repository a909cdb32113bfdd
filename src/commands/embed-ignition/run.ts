import { resolve } from 'node:path';
import { fileImage, patchImage, writeImages } from '../../disk/index.ts';
import type { Host } from '../../host/host.ts';
import { assertWritable } from '../../io/atomic-file.ts';
import type { Patch } from '../../io/patch.ts';
import { FileReader } from '../../io/reader.ts';
import {
  areaMeter,
  type CustomizeResult,
  customize,
  embed,
  type LiveIso,
  openLiveIso,
  patchInPlace,
  reset,
  unmatchedChanges,
  verify,
} from '../../iso/index.ts';
import type { EmbedInputs } from '../embed-ignition.ts';
import { checkOutputIsNoInput, readCustomization } from './files.ts';
import { checkFiles, wrapperSpecFor } from './guards.ts';
import { checkUsage } from './usage.ts';

export interface EmbedOutputs {
  readonly iso: string;
  readonly sha256: string;
  readonly 'embed-area-size': number;
  readonly 'embed-area-used': number;
}

/** Customises a live image as the inputs of `embed-ignition` say. */
export async function embedIgnition(inputs: EmbedInputs, host: Host): Promise<EmbedOutputs> {
  checkUsage(inputs);
  await checkOutputIsNoInput(inputs, host);
  if (inputs.output !== undefined) await assertWritable(resolve(host.cwd, inputs.output), inputs.force);
  if (inputs.initrd !== undefined) {
    const { embedInitrd } = await import('./initrd.ts');
    return embedInitrd(inputs, host);
  }
  const iso = inputs.iso ?? '';
  await using reader = await FileReader.open(resolve(host.cwd, iso), iso);
  const live = await openLiveIso(reader);
  const { patches, used } = inputs.reset ? { patches: reset(live), used: 0 } : await customizeIso(inputs, live, host);
  const sha256 = await write(inputs, reader, patches, host);
  host.info(areaMeter({ used, size: live.ignitionArea.size }));
  return {
    iso: inputs.output ?? iso,
    sha256,
    'embed-area-size': live.ignitionArea.size,
    'embed-area-used': used,
  };
}

async function customizeIso(
  inputs: EmbedInputs,
  live: LiveIso,
  host: Host,
): Promise<{ patches: Patch[]; used: number }> {
  const customization = await readCustomization(inputs, host);
  await checkFiles(customization, live.coreosRelease, inputs.secrets, host);
  const target = {
    name: live.reader.name,
    coreosRelease: live.coreosRelease,
    features: live.features,
    wrapperSpec: wrapperSpecFor(live.coreosRelease),
  };
  const result = await customize(customization, target);
  const kernelArguments = {
    append: inputs['live-karg-append'],
    delete: inputs['live-karg-delete'],
    replace: inputs['live-karg-replace'],
  };
  const { patches, area } = embed(live, { files: result.files, kernelArguments, force: inputs.force });
  tell(result, host);
  for (const change of unmatchedChanges(live.kernelArguments?.defaultText ?? '', kernelArguments)) {
    host.warning(`the kernel argument ${change} isn't among the ISO's defaults: nothing was changed for it`);
  }
  return { patches, used: area.used };
}

export function tell(result: CustomizeResult, host: Host): void {
  for (const warning of result.warnings) host.warning(warning);
  for (const notice of result.notices) host.notice(notice);
}

/** Writes the ISO and reads the areas back; resolves to the SHA-256 of a new file, or to nothing for an edit in place. */
async function write(inputs: EmbedInputs, base: FileReader, patches: readonly Patch[], host: Host): Promise<string> {
  if (inputs.output === undefined) {
    await patchInPlace(resolve(host.cwd, base.name), patches, base.name);
    await readBack(resolve(host.cwd, base.name), base.name, patches);
    return '';
  }
  const name = inputs.output;
  using progress = host.progress(`writing ${name}`);
  const image = patchImage(fileImage(base), patches);
  const output = { image, path: resolve(host.cwd, name), verify: (path: string) => readBack(path, name, patches) };
  const options = { force: inputs.force, progress, signal: host.signal };
  const [written] = await writeImages([output], options);
  return written?.sha256 ?? '';
}

async function readBack(path: string, name: string, patches: readonly Patch[]): Promise<void> {
  await using written = await FileReader.open(path, name);
  await verify(written, patches);
}
