import { createHash } from 'node:crypto';
import { decompressXz } from '../archive/index.ts';
import { quote } from '../io/errors.ts';
import { type Reader, readChunks } from '../io/reader.ts';
import { MiB } from '../io/sizes.ts';
import { SECTOR } from './iso9660.ts';

/** As coreos-installer; real ones have a few kilobytes. */
const MAX_DATA_SIZE = MiB;
/** What isn't taken from the full ISO: boot files and file system structures. */
const MAX_PACKED_SIZE = 256 * MiB;
const MAGIC = 'MINISO\0\0';
const VERSION = 1;

/** A file that the minimal ISO shares with the full one; offsets and length in bytes. */
interface SharedFile {
  readonly minimalOffset: number;
  readonly fullOffset: number;
  readonly length: number;
}

/** How to make the minimal ISO from the full one: shared files, and everything between them. */
export interface MinimalIsoRecipe {
  readonly files: readonly SharedFile[];
  /** SHA-256 of the result, hex. */
  readonly sha256: string;
  /** xz stream of what lies between the files. */
  readonly packed: Uint8Array;
}

/**
 * Reads `/coreos/miniso.dat`: bincode with variable-length integers, written by `coreos-installer pack minimal-iso`.
 *
 * @throws Error if it isn't one, of another version, or its files overlap
 */
export async function readMinimalIsoRecipe(data: Reader): Promise<MinimalIsoRecipe> {
  const bytes = await data.read(0, Math.min(data.size, MAX_DATA_SIZE));
  const decoder = new Bincode(bytes, data.name);
  if (decoder.bytes(MAGIC.length).toString('latin1') !== MAGIC) throw new Error(`${data.name} is not a miniso file`);
  const version = decoder.integer();
  const writer = decoder.bytes(decoder.integer()).toString('utf8');
  if (version !== VERSION) {
    throw new Error(
      `${data.name} has the unknown version ${version} (written by coreos-installer ${quote(writer)}); only ${VERSION} is known`,
    );
  }
  const count = decoder.integer();
  const files: SharedFile[] = [];
  for (let index = 0; index < count; index++) {
    const minimalOffset = decoder.integer() * SECTOR;
    const fullOffset = decoder.integer() * SECTOR;
    files.push({ minimalOffset, fullOffset, length: decoder.integer() });
  }
  const sha256 = decoder.bytes(32).toString('hex');
  const packed = decoder.bytes(decoder.integer());
  checkOrder(files, data.name);
  return { files, sha256, packed };
}

function checkOrder(files: readonly SharedFile[], name: string): void {
  if (files.length === 0) throw new Error(`${name} lists no files: it is damaged`);
  let end = 0;
  for (const { minimalOffset, length } of files) {
    if (minimalOffset < end) throw new Error(`${name}: its files overlap at offset ${minimalOffset}: it is damaged`);
    end = minimalOffset + length;
  }
}

/**
 * The bytes of the minimal ISO in order.
 *
 * @throws Error at the end if their SHA-256 isn't the recipe's
 */
export async function* minimalIsoChunks(recipe: MinimalIsoRecipe, full: Reader): AsyncGenerator<Buffer> {
  const rest = Buffer.from(await decompressXz(recipe.packed, { limit: MAX_PACKED_SIZE }));
  const hash = createHash('sha256');
  let taken = 0;
  let offset = 0;
  const take = (length: number) => {
    if (taken + length > rest.length) throw new Error(`${full.name}: its miniso.dat ends early: it is damaged`);
    taken += length;
    offset += length;
    return rest.subarray(taken - length, taken);
  };
  for (const file of recipe.files) {
    const gap = take(file.minimalOffset - offset);
    hash.update(gap);
    yield gap;
    for await (const chunk of readChunks(full, file.fullOffset, file.length)) {
      hash.update(chunk);
      yield chunk;
    }
    offset += file.length;
  }
  const end = take(rest.length - taken);
  yield end;
  const digest = hash.update(end).digest('hex');
  if (digest !== recipe.sha256) {
    throw new Error(
      `${full.name}: the minimal ISO has SHA-256 ${digest}, but ${recipe.sha256} is expected: the ISO is damaged`,
    );
  }
}

/** Reader of bincode 1 with variable-length integers, little-endian. */
class Bincode {
  readonly #bytes: Buffer;
  readonly #name: string;
  #position = 0;

  constructor(bytes: Buffer, name: string) {
    this.#bytes = bytes;
    this.#name = name;
  }

  bytes(length: number): Buffer {
    if (this.#position + length > this.#bytes.length) throw new Error(`${this.#name} is truncated or damaged`);
    this.#position += length;
    return this.#bytes.subarray(this.#position - length, this.#position);
  }

  /** 0 to 250 in one byte; 251, 252 and 253 announce two, four and eight bytes. */
  integer(): number {
    const first = this.bytes(1)[0] ?? 0;
    if (first <= 250) return first;
    if (first === 251) return this.bytes(2).readUInt16LE();
    if (first === 252) return this.bytes(4).readUInt32LE();
    const value = first === 253 ? Number(this.bytes(8).readBigUInt64LE()) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw new Error(`${this.#name} holds an absurd number: it is damaged`);
    return value;
  }
}
