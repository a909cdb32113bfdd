import { stat } from 'node:fs/promises';
import { dirname, join, parse, resolve } from 'node:path';
import {
  assertBootableAsDisk,
  assertSpace,
  growImage,
  type ImageFormat,
  openImage,
  qcow2Image,
  roundUp,
  SECTOR_SIZE,
  type SurveyedImage,
  surveyImage,
  vdiImage,
  type WriteOptions,
  writeCompressedQcow2,
  writeImages,
} from '../disk/index.ts';
import type { Host } from '../host/host.ts';
import { assertWritable } from '../io/atomic-file.ts';
import { hasCode, quote, UsageError } from '../io/errors.ts';
import { FileReader } from '../io/reader.ts';
import { formatSize } from '../io/sizes.ts';
import { defineCommand } from './command.ts';
import type { OutputFile } from './outputs.ts';

const layouts: Readonly<Record<ImageFormat, (image: SurveyedImage) => ReturnType<typeof qcow2Image>>> = {
  raw: (image) => image,
  qcow2: qcow2Image,
  vdi: vdiImage,
};

export const command = defineCommand({
  name: 'convert-image',
  summary: 'Convert a disk image or a hybrid ISO to QCOW2, VDI or raw',
  description:
    'Reads a raw image, a hybrid ISO, a QCOW2 or a VDI file once and writes it in all the formats that are asked for, each with its SHA-256. The files are named like the image, with the extension of the format. The same image gives the same files.',
  branding: { icon: 'hard-drive', color: 'blue' },
  inputs: {
    image: { type: 'path', required: true, description: 'The image to convert: raw, hybrid ISO, QCOW2 or VDI.' },
    formats: {
      type: 'choices',
      choices: ['raw', 'qcow2', 'vdi'],
      default: ['qcow2', 'vdi'],
      description: 'The formats to write.',
    },
    'disk-size': {
      type: 'size',
      defaultText: "the image's size",
      description: 'Size of the virtual disk, as in `60G`; not smaller than the image, and rounded up to 512 bytes.',
    },
    'output-dir': { type: 'path', default: '.', description: 'The folder that takes the files.' },
    compression: {
      type: 'choice',
      choices: ['none', 'zlib', 'zstd'],
      default: 'none',
      description: 'Compression of the clusters of a QCOW2 file.',
    },
    force: { type: 'boolean', default: false, description: 'Replace existing files.' },
  },
  outputs: {
    files: { type: 'json', description: 'The files, each with `path`, `size`, `sha256` and `format`.' },
  },
  async run(inputs, host) {
    const { formats, compression, force } = inputs;
    if (compression !== 'none' && !formats.includes('qcow2')) {
      throw new UsageError(`"compression" is ${quote(compression)}, but only QCOW2 is compressed: add it to "formats"`);
    }
    const input = resolve(host.cwd, inputs.image);
    await using reader = await FileReader.open(input, inputs.image);
    const targets = formats.map((format): Target => {
      const path = join(inputs['output-dir'], `${parse(input).name}.${format}`);
      return { format, path, file: resolve(host.cwd, path) };
    });
    for (const { path, file } of targets) {
      await assertNotInput(reader, file, path);
      await assertWritable(file, force);
    }
    const opened = await openImage(reader);
    await assertBootableAsDisk(opened, inputs.image);
    const size = diskSize(inputs['disk-size'], opened.size, inputs.image);
    using reading = host.progress('Reading', opened.size);
    const disk = growImage(await surveyImage(opened, { signal: host.signal, progress: reading }), size);
    return { files: await writeTargets(disk, targets, compression, { force, host }) };
  },
});

interface Target {
  readonly format: ImageFormat;
  /** As the outputs name it. */
  readonly path: string;
  /** Where it is written to. */
  readonly file: string;
}

/** Writes compressed files one by one and all others in one pass. */
async function writeTargets(
  disk: SurveyedImage,
  targets: readonly Target[],
  compression: 'none' | 'zlib' | 'zstd',
  { force, host }: { force: boolean; host: Host },
): Promise<OutputFile[]> {
  const isPlain = ({ format }: Target) => compression === 'none' || format !== 'qcow2';
  const plain = targets.filter(isPlain).map((target) => ({ image: layouts[target.format](disk), path: target.file }));
  const [first] = plain;
  if (first) {
    const images = plain.map(({ image }) => image);
    await assertSpace(dirname(first.path), images);
  }
  using progress = host.progress('Writing');
  const options: WriteOptions = { force, signal: host.signal, progress };
  const written = [...(await writeImages(plain, options))];
  for (const target of targets) {
    if (compression === 'none' || isPlain(target)) continue;
    written.push(await writeCompressedQcow2(disk, target.file, { ...options, compression }));
  }
  return targets.map(({ format, path, file }) => {
    const { size = 0, sha256 = '' } = written.find((one) => one.path === file) ?? {};
    return { path, size, sha256, format };
  });
}

/** The size asked for, or the image's own. */
function diskSize(asked: number | undefined, own: number, name: string): number {
  if (asked === undefined) return own;
  const size = roundUp(asked, SECTOR_SIZE);
  if (size >= own) return size;
  throw new Error(
    `"disk-size" is ${formatSize(asked)} (${asked} bytes), but ${quote(name)} holds a disk of ${formatSize(own)} (${own} bytes): give at least that`,
  );
}

/** Refuses to write over the file that is being read, whatever it is called. */
async function assertNotInput(input: FileReader, file: string, path: string): Promise<void> {
  const existing = await stat(file).catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  });
  const read = await input.handle.stat();
  if (existing?.ino !== read.ino || existing.dev !== read.dev) return;
  throw new Error(`the output ${quote(path)} is the input itself: choose another "output-dir" or another format`);
}
