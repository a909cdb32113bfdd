import { quote } from '../io/errors.ts';
import type { Patch } from '../io/patch.ts';
import type { Reader } from '../io/reader.ts';
import type { IsoFileSystem } from './iso9660.ts';
import { findFile, isRecord, parseJsonFile } from './metadata.ts';

/** As coreos-installer, which takes a larger area for damage. */
const MAX_AREA_SIZE = 2048;
/** The header of 2021's ISOs: 72 bytes that end 24 bytes before the end of the system area. */
const HEADER_OFFSET = 32768 - 24 - 72;
const HEADER_SIZE = 72;
const HEADER_MAGIC = 'coreKarg';
const HEADER_MAX_AREAS = 6;

/** One place where the boot loader's configuration holds the kernel arguments. */
export interface KernelArgumentArea {
  readonly offset: number;
  /** Fills the area behind the arguments; one ASCII character. */
  readonly pad: string;
  /** Ends the arguments; one ASCII character. */
  readonly end: string;
}

/** The kernel arguments of the live system; every area holds the same text. */
export interface KernelArguments {
  readonly text: string;
  readonly defaultText: string;
  /** Bytes per area, the end character included. */
  readonly size: number;
  readonly areas: readonly KernelArgumentArea[];
}

/** Changes to kernel arguments, in the order in which they are made. */
export interface KernelArgumentChanges {
  readonly delete?: readonly string[];
  readonly append?: readonly string[];
  /** `key=old=new`: a `key=old` becomes `key=new`. */
  readonly replace?: readonly string[];
}

/**
 * Finds the kernel arguments of a live ISO: `/coreos/kargs.json`, else the header in the system area; undefined for ISOs
 * that are older still.
 *
 * @throws Error if an area lies outside of its file, or the areas don't all hold the same
 */
export async function readKernelArguments(reader: Reader, files: IsoFileSystem): Promise<KernelArguments | undefined> {
  const located = (await locateByJson(reader, files)) ?? (await locateByHeader(reader));
  if (!located) return undefined;
  const { areas, size } = located;
  if (areas.length === 0) throw new Error(`${reader.name} names no kernel-argument area: it is damaged`);
  const texts = await Promise.all(
    areas.map(async (area) => areaText(reader, area, await reader.read(area.offset, size))),
  );
  const [text = ''] = texts;
  const other = texts.findIndex((candidate) => candidate !== text);
  if (other >= 0) {
    throw new Error(
      `${reader.name}: the kernel arguments in its boot files disagree: ${quote(text)} at offset ${areas[0]?.offset}, ` +
        `but ${quote(texts[other])} at offset ${areas[other]?.offset}; fetch the ISO again`,
    );
  }
  return { ...located, text };
}

interface Located {
  readonly areas: readonly KernelArgumentArea[];
  readonly size: number;
  readonly defaultText: string;
}

async function locateByJson(reader: Reader, files: IsoFileSystem): Promise<Located | undefined> {
  const entry = await findFile(files, 'coreos/kargs.json');
  if (!entry) return undefined;
  const fail = (reason: string) => new Error(`${reader.name}: its kargs.json ${reason}`);
  const json = await parseJsonFile(files.open(entry));
  if (!isRecord(json) || typeof json.default !== 'string' || !Array.isArray(json.files) || !isCount(json.size)) {
    throw fail('lacks "default", "files" or "size"');
  }
  const { default: defaultText, size } = json;
  checkSize(reader, size);
  if (Buffer.byteLength(defaultText) > size) throw fail(`has a default text longer than its areas of ${size} bytes`);
  const areas = await Promise.all(
    json.files.map(async (location: unknown) => {
      if (!isRecord(location) || typeof location.path !== 'string' || !isCount(location.offset)) {
        throw fail('has an entry without "path" or "offset"');
      }
      const file = await findFile(files, location.path);
      if (!file) throw fail(`names ${quote(location.path)}, which isn't on the ISO`);
      if (location.offset + size > file.size) {
        throw fail(`puts an area of ${size} bytes at ${location.offset} outside of ${quote(location.path)}`);
      }
      const pad = location.pad ?? '#';
      const end = location.end ?? '\n';
      if (!isAsciiCharacter(pad) || !isAsciiCharacter(end))
        throw fail('has a "pad" or "end" that isn\'t one character');
      return { offset: file.offset + location.offset, pad, end };
    }),
  );
  return { areas: areas.sort((a, b) => a.offset - b.offset), size, defaultText };
}

async function locateByHeader(reader: Reader): Promise<Located | undefined> {
  const header = await reader.read(HEADER_OFFSET, HEADER_SIZE);
  if (header.toString('latin1', 0, 8) !== HEADER_MAGIC) return undefined;
  const field = (index: number) => header.readBigUInt64LE(8 * (index + 1));
  const size = Number(field(0));
  checkSize(reader, size);
  const areaAt = (offset: bigint): KernelArgumentArea => {
    if (offset + BigInt(size) > BigInt(reader.size)) {
      throw new Error(`${reader.name}: its kernel-argument area at ${offset} lies outside of the file`);
    }
    return { offset: Number(offset), pad: '#', end: '\n' };
  };
  const defaults = areaAt(field(1));
  const areas: KernelArgumentArea[] = [];
  for (let index = 0; index < HEADER_MAX_AREAS && field(2 + index) !== 0n; index++)
    areas.push(areaAt(field(2 + index)));
  return { areas, size, defaultText: areaText(reader, defaults, await reader.read(defaults.offset, size)) };
}

function checkSize(reader: Reader, size: number): void {
  if (size > 0 && size <= MAX_AREA_SIZE) return;
  throw new Error(
    `${reader.name}: its kernel-argument areas claim ${size} bytes; at most ${MAX_AREA_SIZE} are plausible`,
  );
}

function areaText(reader: Reader, area: KernelArgumentArea, bytes: Buffer): string {
  let length = bytes.length;
  const strip = (character: string) => {
    while (length > 0 && bytes[length - 1] === character.charCodeAt(0)) length--;
  };
  strip(area.pad);
  strip(area.end);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(0, length)).trim();
  } catch {
    throw new Error(`${reader.name}: its kernel-argument area at ${area.offset} doesn't hold text`);
  }
}

/**
 * Changes kernel arguments as coreos-installer does: arguments are compared as whole words (which may hold blanks
 * themselves), those to delete go first, then come those to append, then replacements.
 *
 * @throws Error if a replacement hasn't the form key=old=new
 */
export function changeKernelArguments(text: string, changes: KernelArgumentChanges): string {
  let result = ` ${text} `;
  for (const argument of changes.delete ?? []) result = result.replaceAll(` ${argument.trim()} `, ' ');
  for (const argument of changes.append ?? []) result += `${argument.trim()} `;
  for (const argument of changes.replace ?? []) {
    const { key, from, to } = parseReplacement(argument);
    result = result.replaceAll(` ${key}=${from} `, () => ` ${key}=${to} `);
  }
  return result.trim();
}

/** @throws Error if the text hasn't the form key=old=new */
export function parseReplacement(argument: string): { key: string; from: string; to: string } {
  const [, key = '', from = '', to = ''] = /^([^=]+)=([^=]+)=([^=]+)$/.exec(argument) ?? [];
  if (key !== '') return { key, from, to };
  throw new Error(`the kernel-argument replacement ${quote(argument)} hasn't the form key=old=new`);
}

/** Which deletions and replacements find nothing to change. */
export function unmatchedChanges(text: string, changes: KernelArgumentChanges): string[] {
  const words = ` ${text} `;
  const afterAppend = ` ${changeKernelArguments(text, { ...changes, replace: [] })} `;
  const replaced = (changes.replace ?? []).filter((argument) => {
    const { key, from } = parseReplacement(argument);
    return !afterAppend.includes(` ${key}=${from} `);
  });
  return [...(changes.delete ?? []).filter((argument) => !words.includes(` ${argument.trim()} `)), ...replaced];
}

/**
 * The bytes to write so that every area holds `text`.
 *
 * @throws Error with the sizes if the text doesn't fit
 */
export function kernelArgumentPatches(current: Pick<KernelArguments, 'areas' | 'size'>, text: string): Patch[] {
  const bytes = Buffer.from(text.trim());
  if (bytes.length >= current.size) {
    throw new Error(
      `the kernel arguments need ${bytes.length + 1} bytes, but the ISO's areas have ${current.size}: ` +
        `they are ${bytes.length + 1 - current.size} too long; append fewer or shorter arguments`,
    );
  }
  return current.areas.map(({ offset, pad, end }) => {
    const area = Buffer.alloc(current.size, pad);
    bytes.copy(area);
    area.write(end, bytes.length, 'latin1');
    return { offset, bytes: area };
  });
}

/** The arguments of a text as a list; as coreos-installer, quotes have no meaning. */
export function splitKernelArguments(text: string): string[] {
  return text.split(/\s+/).filter((argument) => argument !== '');
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function isAsciiCharacter(value: unknown): value is string {
  return typeof value === 'string' && value.length === 1 && value.charCodeAt(0) < 128;
}
