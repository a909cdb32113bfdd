import { basename } from 'node:path';
import {
  digestImages,
  fileImage,
  hasBootRecord,
  type SurveyedImage,
  surveyAndDigest,
  type WriteOptions,
} from '../disk/index.ts';
import { FileReader } from '../io/reader.ts';
import { type LiveIso, openLiveIso } from '../iso/index.ts';
import type { Architecture, Format } from './definition.ts';

/** The live ISO that the images of an architecture start from. */
export interface Base {
  readonly architecture: Architecture;
  readonly file: FileReader;
  readonly iso: LiveIso;
  /** Whether it boots when it is written to a disk. */
  readonly hybrid: boolean;
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
    return { architecture, file, iso, hybrid: await hasBootRecord(fileImage(file)), name: basename(path) };
  } catch (error) {
    await file[Symbol.asyncDispose]();
    throw error;
  }
}

/** What a base holds. */
export interface BaseContents {
  /** Lower-case hex. */
  readonly sha256: string;
  /** Undefined where no disk image is to be made of it. */
  readonly disk: SurveyedImage | undefined;
}

/** Reads a base once, for these images, in this thread: while Butane runs there may be only one core to spare. */
export async function readBase(
  { file }: Base,
  images: readonly { readonly format: Format }[],
  options: Pick<WriteOptions, 'signal' | 'progress'>,
): Promise<BaseContents> {
  if (images.some(({ format }) => format !== 'iso')) {
    const { image, sha256 } = await surveyAndDigest(file, options);
    return { sha256, disk: image };
  }
  const [sha256 = ''] = await digestImages([fileImage(file)], options);
  return { sha256, disk: undefined };
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
  { architecture, hybrid, name }: Pick<Base, 'architecture' | 'hybrid' | 'name'>,
  asked: readonly Format[] | undefined,
  warn: (message: string) => void,
): readonly Format[] {
  const formats = asked ?? DEFAULT_FORMATS;
  if (hybrid || formats.every((format) => format === 'iso')) return formats;
  const disks = formats.filter((format) => format !== 'iso').join(' and ');
  const reason = `${name} (${architecture}) is not hybrid and does not boot as a disk`;
  if (asked) {
    throw new Error(`"formats" asks for ${disks}, but ${reason}: build the format iso only, and attach it as CD-ROM`);
  }
  warn(`${reason}: ${disks} are left out; attach the ISO as CD-ROM instead`);
  return formats.filter((format) => format === 'iso');
}
