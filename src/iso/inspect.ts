import type { Reader } from '../io/reader.ts';
import { CONFIG_PATH, NETWORK_FOLDER } from './embed.ts';
import { isIsoImage } from './iso9660.ts';
import { splitKernelArguments } from './kernel-arguments.ts';
import { openLiveInitrd } from './live-initrd.ts';
import { openLiveIso } from './live-iso.ts';

/** What a live image carries. */
export interface Inspection {
  /** The text of the live config. */
  readonly ignition: string | null;
  readonly kernelArguments: string[];
  readonly defaultKernelArguments: string[];
  /** NetworkManager keyfiles: name and contents. */
  readonly network: Readonly<Record<string, string>>;
  /** Empty if it can't be told. */
  readonly architecture: string;
  readonly features: Readonly<Record<string, unknown>>;
  readonly pristine: boolean;
}

/**
 * Reads a CoreOS live ISO or PXE initramfs.
 *
 * @throws Error if it is neither, or is damaged
 */
export async function inspectImage(reader: Reader): Promise<Inspection> {
  if (await isIsoImage(reader)) return inspectIso(reader);
  const initrd = await openLiveInitrd(reader);
  return {
    ...embeddedFiles(initrd.files),
    kernelArguments: [],
    defaultKernelArguments: [],
    architecture: initrd.architecture,
    features: initrd.features.json,
    pristine: initrd.pristine,
  };
}

async function inspectIso(reader: Reader): Promise<Inspection> {
  const iso = await openLiveIso(reader);
  return {
    ...embeddedFiles(await iso.ignitionArea.unpack()),
    kernelArguments: splitKernelArguments(iso.kernelArguments?.text ?? ''),
    defaultKernelArguments: splitKernelArguments(iso.kernelArguments?.defaultText ?? ''),
    architecture: iso.architecture,
    features: iso.features.json,
    pristine: iso.pristine,
  };
}

/** The config and the keyfiles among the files of an archive. */
export function embeddedFiles(files: ReadonlyMap<string, Uint8Array>): Pick<Inspection, 'ignition' | 'network'> {
  const config = files.get(CONFIG_PATH);
  const keyfiles = [...files].filter(([path]) => path.startsWith(`${NETWORK_FOLDER}/`));
  return {
    ignition: config === undefined ? null : textOf(config),
    network: Object.fromEntries(keyfiles.map(([path, data]) => [path.slice(NETWORK_FOLDER.length + 1), textOf(data)])),
  };
}

function textOf(data: Uint8Array): string {
  return Buffer.from(data).toString('utf8');
}
