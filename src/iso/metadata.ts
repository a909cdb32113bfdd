import { messageOf, quote } from '../io/errors.ts';
import type { Reader } from '../io/reader.ts';
import type { IsoEntry, IsoFileSystem } from './iso9660.ts';

/** The metadata files of a live ISO have a few hundred bytes. */
const MAX_JSON_SIZE = 1024 * 1024;

/**
 * Finds a file by its full name. ISO 9660 level 1 cuts extensions to three letters (`KARGS.JSO`), other writers keep
 * them, so both are looked for.
 */
export async function findFile(files: IsoFileSystem, path: string): Promise<IsoEntry | undefined> {
  const entry = (await files.find(path)) ?? (await files.find(path.replace(/(\.[^./]{3})[^./]+$/, '$1')));
  if (entry?.directory) throw new Error(`${quote(path)} on the ISO is a folder, but has to be a file`);
  return entry;
}

/** @throws Error naming the file if it isn't JSON or absurdly large */
export async function parseJsonFile(file: Reader): Promise<unknown> {
  if (file.size > MAX_JSON_SIZE) throw new Error(`${file.name} claims ${file.size} bytes: it is damaged`);
  const text = (await file.read(0, file.size)).toString('utf8');
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new Error(`${file.name} is not JSON: ${messageOf(error)}`, { cause: error });
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
