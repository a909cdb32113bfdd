import {
  fileImage,
  growImage,
  type Image,
  imageReader,
  openImage,
  patchImage,
  qcow2Image,
  type SurveyedImage,
  surveyImage,
  vdiImage,
} from '../disk/index.ts';
import { quote } from '../io/errors.ts';
import type { Patch } from '../io/patch.ts';
import { FileReader } from '../io/reader.ts';
import { formatSize } from '../io/sizes.ts';
import { type AreaUsage, CONFIG_PATH, embed, verify } from '../iso/index.ts';
import type { Base, BaseContents } from './bases.ts';
import { isEmpty } from './checks.ts';
import type { RoleConfig } from './compile.ts';
import type { PlannedImage } from './plan.ts';

/** The ISO of a role on an architecture: its base, and what differs from it. */
export interface RoleIso {
  readonly role: string;
  readonly base: Base;
  readonly patches: readonly Patch[];
  readonly area: AreaUsage;
}

/** An image that is planned and laid out; nothing of it is written yet. */
export interface LaidOutImage extends PlannedImage {
  readonly iso: RoleIso;
  readonly image: Image;
}

/** Prepares the ISOs of all roles on all bases. A role with an empty config gets kernel arguments only. */
export async function roleIsos(
  roles: readonly RoleConfig[],
  bases: readonly Base[],
  options: { kernelArguments: readonly string[]; force: boolean },
): Promise<RoleIso[]> {
  const isos: RoleIso[] = [];
  for (const config of roles) {
    const files = new Map(isEmpty(config) ? [] : [[CONFIG_PATH, config.live]]);
    for (const base of bases) {
      const kernelArguments = { append: options.kernelArguments };
      const { patches, area } = await embed(base.iso, { files, kernelArguments, force: options.force });
      isos.push({ role: config.role, base, patches, area });
    }
  }
  return isos;
}

/**
 * Lays the formats over the ISOs.
 *
 * @param options.diskSize virtual size of the disk images in bytes
 * @param options.contents of the bases
 * @throws Error if the disk is smaller than a base
 */
export async function layOutImages(
  planned: readonly PlannedImage[],
  isos: readonly RoleIso[],
  options: { diskSize: number; contents: ReadonlyMap<Base, BaseContents>; signal: AbortSignal },
): Promise<LaidOutImage[]> {
  const { diskSize, contents, signal } = options;
  const images: LaidOutImage[] = [];
  for (const iso of isos) {
    const patched = patchImage(fileImage(iso.base.file), iso.patches);
    const known = contents.get(iso.base)?.disk;
    if (known) assertDiskSize(diskSize, iso.base);
    const disk = known && growImage(await surveyImage(patched, { known, signal }), diskSize);
    for (const plan of planned) {
      if (plan.role !== iso.role || plan.architecture !== iso.base.architecture) continue;
      images.push({ ...plan, iso, image: formatImage(plan, patched, disk) });
    }
  }
  return images;
}

function formatImage({ format }: PlannedImage, iso: Image, disk: SurveyedImage | undefined): Image {
  if (format === 'iso' || !disk) return iso;
  if (format === 'qcow2') return qcow2Image(disk);
  return format === 'vdi' ? vdiImage(disk) : disk;
}

function assertDiskSize(diskSize: number, base: Base): void {
  if (diskSize >= base.file.size) return;
  throw new Error(
    `"disk-size" is ${diskSize} bytes, but ${quote(base.name)} has ${base.file.size}: give at least ${formatSize(base.file.size)}`,
  );
}

/** Reads the areas of a written image back, through its format, and compares. */
export async function verifyImage(path: string, { iso, fileName }: LaidOutImage): Promise<void> {
  await using file = await FileReader.open(path, fileName);
  await verify(imageReader(await openImage(file), fileName), iso.patches);
}
