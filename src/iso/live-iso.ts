import type { Reader } from '../io/reader.ts';
import { type Architecture, detectArchitecture } from './architecture.ts';
import { type Features, readFeatures } from './features.ts';
import { type IgnitionArea, readIgnitionArea } from './ignition-area.ts';
import { type IsoFileSystem, openIsoFileSystem } from './iso9660.ts';
import { type KernelArguments, readKernelArguments, splitKernelArguments } from './kernel-arguments.ts';

/** A CoreOS live ISO and what it carries; offsets are bytes from the beginning of the image. */
export interface LiveIso {
  readonly reader: Reader;
  readonly files: IsoFileSystem;
  readonly volumeId: string;
  readonly architecture: Architecture;
  /** The CoreOS release, such as `43.20260301.3.0`; empty if the ISO doesn't tell. */
  readonly coreosRelease: string;
  readonly features: Features;
  readonly ignitionArea: IgnitionArea;
  /** Undefined on ISOs of 2020, which have no areas for them. */
  readonly kernelArguments: KernelArguments | undefined;
  /** Whether it is as it was published: no archive in the Ignition area, and the default kernel arguments. */
  readonly pristine: boolean;
}

/**
 * Reads what a CoreOS live ISO tells about itself.
 *
 * @throws Error if it is no live ISO, is truncated, or has areas that disagree or lie outside of it
 */
export async function openLiveIso(reader: Reader): Promise<LiveIso> {
  const files = await openIsoFileSystem(reader);
  const ignitionArea = await readIgnitionArea(reader, files);
  const kernelArguments = await readKernelArguments(reader, files);
  checkOverlap(reader, ignitionArea, kernelArguments);
  return {
    reader,
    files,
    volumeId: files.volumeId,
    architecture: await detectArchitecture(reader, files),
    coreosRelease: releaseOf(kernelArguments, files.volumeId),
    features: await readFeatures(files),
    ignitionArea,
    kernelArguments,
    pristine: ignitionArea.used === 0 && hasDefaultArguments(kernelArguments),
  };
}

/** Whether the kernel arguments are those the ISO was published with; true if it has no areas for them. */
export function hasDefaultArguments(current: KernelArguments | undefined): boolean {
  return current === undefined || current.text === current.defaultText.trim();
}

function releaseOf(current: KernelArguments | undefined, volumeId: string): string {
  const argument = [current?.defaultText, current?.text]
    .flatMap((text) => splitKernelArguments(text ?? ''))
    .find((word) => word.startsWith('coreos.liveiso='));
  const name = argument?.slice('coreos.liveiso='.length) ?? volumeId;
  // Fedora CoreOS, RHEL CoreOS and CentOS Stream CoreOS put their name in front.
  return name.replace(/^(fedora-coreos|rhcos|scos|rhel-coreos)-/, '');
}

function checkOverlap(reader: Reader, area: IgnitionArea, current: KernelArguments | undefined): void {
  const ranges = [area, ...(current?.areas ?? []).map(({ offset }) => ({ offset, size: current?.size ?? 0 }))];
  ranges.sort((a, b) => a.offset - b.offset);
  const overlapping = ranges.find((range, index) => {
    const next = ranges[index + 1];
    return next !== undefined && range.offset + range.size > next.offset;
  });
  if (overlapping)
    throw new Error(`${reader.name}: its embed areas overlap at offset ${overlapping.offset}: it is damaged`);
}
