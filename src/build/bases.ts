import { basename } from 'node:path';
import { FileReader } from '../io/reader.ts';
import { type LiveIso, openLiveIso } from '../iso/index.ts';
import type { Architecture, Format } from './definition.ts';

/** The live ISO that the images of an architecture start from. */
export interface Base {
  readonly architecture: Architecture;
  readonly file: FileReader;
  readonly iso: LiveIso;
  /** Its file name, without folders. */
  readonly name: string;
}

/**
 * Opens the base ISO of an architecture; the caller closes its file.
 *
 * @throws Error if it is no live ISO, or one of another architecture
 */
export async function openBase(path: string, architecture: Architecture): Promise<Base> {
  const file = await FileReader.open(path);
  try {
    const iso = await openLiveIso(file);
    if (iso.architecture !== architecture) {
      throw new Error(
        `${path} is an ISO for ${iso.architecture}, but "architectures" asks for ${architecture}: ` +
          `give the ISO for ${architecture}, or set "architectures" to ${iso.architecture}`,
      );
    }
    return { architecture, file, iso, name: basename(path) };
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

const DEFAULT_FORMATS: readonly Format[] = ['iso', 'qcow2', 'vdi'];

/**
 * The formats to build of a base. An ISO that isn't hybrid doesn't boot as a disk, so disk formats are left out where
 * nobody asked for them by name.
 *
 * @param asked the formats that were asked for by name
 * @throws Error where disk formats were asked for, but can't boot
 */
export function formatsOf(
  { architecture, iso, name }: Pick<Base, 'architecture' | 'iso' | 'name'>,
  asked: readonly Format[] | undefined,
  warn: (message: string) => void,
): readonly Format[] {
  const formats = asked ?? DEFAULT_FORMATS;
  if (iso.hybrid || formats.every((format) => format === 'iso')) return formats;
  const disks = formats.filter((format) => format !== 'iso').join(' and ');
  const reason = `${name} (${architecture}) is not hybrid and does not boot as a disk`;
  if (asked) {
    throw new Error(`"formats" asks for ${disks}, but ${reason}: build the format iso only, and attach it as CD-ROM`);
  }
  warn(`${reason}: ${disks} are left out; attach the ISO as CD-ROM instead`);
  return formats.filter((format) => format === 'iso');
}
