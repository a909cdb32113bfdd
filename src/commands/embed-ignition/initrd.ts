import { resolve } from 'node:path';
import { imageOf, writeImage } from '../../disk/index.ts';
import type { Host } from '../../host/host.ts';
import { FileReader } from '../../io/reader.ts';
import { formatSize } from '../../io/sizes.ts';
import { appendToInitrd, CONFIG_PATH, customize, openLiveInitrd } from '../../iso/index.ts';
import type { EmbedInputs } from '../embed-ignition.ts';
import { readCustomization } from './files.ts';
import { checkFiles } from './guards.ts';
import { type EmbedOutputs, tell } from './run.ts';

/** Customises a PXE initramfs: the original with an archive appended. */
export async function embedInitrd(inputs: EmbedInputs, host: Host): Promise<EmbedOutputs> {
  const { initrd: path = '', output = '' } = inputs;
  const customization = await readCustomization(inputs, host);
  await using reader = await FileReader.open(resolve(host.cwd, path), path);
  const initrd = await openLiveInitrd(reader);
  await checkFiles(customization, '', inputs.secrets, host);
  const result = await customize(customization, { name: path, coreosRelease: '', features: initrd.features });
  const { kept, appendix } = await appendToInitrd(initrd, result.files, { force: inputs.force });
  tell(result, host);
  if (result.files.has(CONFIG_PATH)) {
    host.notice('the PXE configuration has to have the kernel arguments ignition.firstboot ignition.platform.id=metal');
  }
  const image = imageOf([
    { kind: 'range', length: kept, source: reader, offset: 0 },
    { kind: 'bytes', length: appendix.length, bytes: appendix },
  ]);
  using progress = host.progress(`writing ${output}`);
  const options = { force: inputs.force, signal: host.signal, progress };
  const { sha256 } = await writeImage(image, resolve(host.cwd, output), options);
  host.info(`archive of ${formatSize(appendix.length)} appended`);
  return { iso: output, sha256, 'embed-area-size': 0, 'embed-area-used': appendix.length };
}
