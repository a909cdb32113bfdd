import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Host } from '../../host/host.ts';
import { AtomicFile } from '../../io/atomic-file.ts';
import { FileReader, type Reader, readChunks, slice } from '../../io/reader.ts';
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
  const sha256 = await append(slice(reader, 0, kept), appendix, resolve(host.cwd, output), inputs.force, host);
  host.info(`archive of ${formatSize(appendix.length)} appended`);
  return { iso: output, sha256, 'embed-area-size': 0, 'embed-area-used': appendix.length };
}

async function append(
  reader: Reader,
  appendix: Uint8Array,
  output: string,
  force: boolean,
  host: Host,
): Promise<string> {
  await using file = await AtomicFile.create(output, { force });
  using progress = host.progress(`writing ${output}`, reader.size + appendix.length);
  const hash = createHash('sha256');
  const write = async (chunk: Uint8Array) => {
    host.signal.throwIfAborted();
    await file.handle.writeFile(chunk);
    hash.update(chunk);
    progress.advance(chunk.length);
  };
  for await (const chunk of readChunks(reader, 0, reader.size)) await write(chunk);
  await write(appendix);
  await file.commit();
  return hash.digest('hex');
}
