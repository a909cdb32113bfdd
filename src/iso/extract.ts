import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { AtomicFile, assertWritable } from '../io/atomic-file.ts';
import { quote } from '../io/errors.ts';
import type { Patch } from '../io/patch.ts';
import { noProgress, type Progress } from '../io/progress.ts';
import { FileReader, type Reader, readChunks } from '../io/reader.ts';
import { changeKernelArguments, kernelArgumentPatches, splitKernelArguments } from './kernel-arguments.ts';
import { type LiveIso, openLiveIso } from './live-iso.ts';
import { findFile, isRecord, parseJsonFile } from './metadata.ts';
import { minimalIsoChunks, readMinimalIsoRecipe } from './miniso.ts';

const PXE_FOLDER = 'images/pxeboot';

export interface ExtractOptions {
  readonly outputDir: string;
  /** The beginning of the files' names: the ISO's without its extension. */
  readonly stem: string;
  readonly force?: boolean;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** A file that was written; `path` is in the output folder as it was given. */
export interface ExtractedFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/**
 * Extracts kernel, initramfs and root file system for a PXE boot, named `<stem>-<name on the ISO in lower case>`.
 *
 * @throws Error if the ISO has none, or a file exists and `force` isn't set
 */
export async function extractPxe(iso: LiveIso, options: ExtractOptions): Promise<ExtractedFile[]> {
  const folder = await iso.files.find(PXE_FOLDER);
  if (!folder?.directory) throw new Error(`${iso.reader.name} is not a CoreOS live ISO: it has no ${PXE_FOLDER}`);
  const entries = (await iso.files.list(folder)).filter(({ directory }) => !directory);
  options.progress?.total(entries.reduce((sum, { size }) => sum + size, 0));
  const targets = entries.map((entry) => ({ file: iso.files.open(entry), path: pxePath(iso, entry.name, options) }));
  for (const { path } of targets) await assertWritable(path, options.force ?? false);
  const written: ExtractedFile[] = [];
  for (const { file, path } of targets) {
    written.push(await writeChunks(path, readChunks(file, 0, file.size), options));
  }
  return written;
}

function pxePath(iso: LiveIso, entryName: string, { outputDir, stem }: ExtractOptions): string {
  const name = entryName.toLowerCase();
  if (/[/\\]/.test(name)) throw new Error(`${iso.reader.name} holds a file with the name ${quote(name)}`);
  return join(outputDir, `${stem}-${name}`);
}

/**
 * Makes the minimal ISO: the boot files of the full one, which fetches its root file system from the network. Named
 * `<stem>-minimal.iso`.
 *
 * @param options.rootfsUrl where the root file system will be; without it the kernel arguments have to name it at boot
 * @throws Error if the ISO is customised or can't make one
 */
export async function extractMinimalIso(
  iso: LiveIso,
  options: ExtractOptions & { rootfsUrl?: string | undefined },
): Promise<ExtractedFile> {
  if (!iso.pristine) {
    throw new Error(
      `${iso.reader.name} is customised, and a minimal ISO can be made of the pristine one only: reset it first`,
    );
  }
  const url = options.rootfsUrl;
  if (url !== undefined && /\s/.test(url)) throw new Error(`"rootfs-url" is ${quote(url)}, but a URL holds no blanks`);
  const data = await findFile(iso.files, 'coreos/miniso.dat');
  if (!data)
    throw new Error(
      `${iso.reader.name} (release ${iso.coreosRelease}) can't make a minimal ISO: it has no coreos/miniso.dat`,
    );
  const recipe = await readMinimalIsoRecipe(iso.files.open(data));
  const path = join(options.outputDir, `${options.stem}-minimal.iso`);
  return writeChunks(path, minimalIsoChunks(recipe, iso.reader), options, async (temporary) => {
    await using reader = await FileReader.open(temporary, path);
    return await minimalIsoPatches(reader, url);
  });
}

/** The minimal ISO carries no root file system, so what names the medium as its place goes from the arguments, the defaults included. */
async function minimalIsoPatches(reader: Reader, url: string | undefined): Promise<Patch[]> {
  const iso = await openLiveIso(reader);
  const current = iso.kernelArguments;
  const medium = splitKernelArguments(current?.text ?? '').find((word) => word.startsWith('coreos.liveiso='));
  if (!current || medium === undefined) throw new Error(`${reader.name} has no kernel argument coreos.liveiso=`);
  const defaultText = changeKernelArguments(current.text, { delete: [medium] });
  const append = url === undefined ? [] : [`coreos.live.rootfs_url=${url}`];
  const text = changeKernelArguments(defaultText, { append });
  return [...kernelArgumentPatches(current, text), await defaultsPatch(iso, defaultText)];
}

/** `kargs.json` with other defaults, as serde writes it, filled with blanks up to its size. */
async function defaultsPatch(iso: LiveIso, defaultText: string): Promise<Patch> {
  const entry = await findFile(iso.files, 'coreos/kargs.json');
  if (!entry) throw new Error(`${iso.reader.name} has no coreos/kargs.json, so its default arguments can't be changed`);
  const json = await parseJsonFile(iso.files.open(entry));
  if (!isRecord(json) || !Array.isArray(json.files)) throw new Error(`${iso.reader.name}: its kargs.json is damaged`);
  const files = json.files.filter(isRecord).map(({ path, offset, pad, end }) => ({ path, offset, pad, end }));
  const text = JSON.stringify({ default: defaultText, files, size: json.size }, dropNull, 2);
  if (Buffer.byteLength(text) > entry.size) {
    throw new Error(`${iso.reader.name}: its kargs.json has no room for ${Buffer.byteLength(text)} bytes`);
  }
  const bytes = Buffer.alloc(entry.size, ' ');
  bytes.write(text);
  return { offset: entry.offset, bytes };
}

function dropNull(_key: string, value: unknown): unknown {
  return value === null ? undefined : value;
}

/** Writes a file atomically with its SHA-256; patches are applied, and the digest is made again, before it gets its name. */
async function writeChunks(
  path: string,
  chunks: AsyncIterable<Buffer>,
  { force = false, progress = noProgress, signal }: ExtractOptions,
  patchesOf?: (temporaryPath: string) => Promise<Patch[]>,
): Promise<ExtractedFile> {
  await using file = await AtomicFile.create(path, { force });
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    await file.handle.writeFile(chunk);
    hash.update(chunk);
    size += chunk.length;
    progress.advance(chunk.length);
  }
  const patches = (await patchesOf?.(file.temporaryPath)) ?? [];
  for (const { offset, bytes } of patches) await file.handle.write(bytes, 0, bytes.length, offset);
  const sha256 = patches.length === 0 ? hash.digest('hex') : await digestOf(file.temporaryPath, path);
  await file.commit();
  return { path, size, sha256 };
}

async function digestOf(path: string, name: string): Promise<string> {
  await using reader = await FileReader.open(path, name);
  const hash = createHash('sha256');
  for await (const chunk of readChunks(reader, 0, reader.size)) hash.update(chunk);
  return hash.digest('hex');
}
