import type { Patch } from '../io/patch.ts';
import { type Reader, readInto } from '../io/reader.ts';

/**
 * A piece of an image: bytes in memory, a range of a file (or of anything else that can be read at random), or zeros.
 * `length` is in bytes and never 0.
 */
export type Extent<Source = Reader> =
  | { readonly kind: 'bytes'; readonly length: number; readonly bytes: Uint8Array }
  | { readonly kind: 'range'; readonly length: number; readonly source: Source; readonly offset: number }
  | { readonly kind: 'zeros'; readonly length: number };

/**
 * A virtual image: a length in bytes and the extents that fill it, in order and without gaps. Nothing is copied until
 * it is written, hashed or read. The readers behind it must stay open as long as it is used.
 */
export interface Image<Source = Reader> {
  readonly size: number;
  readonly extents: readonly Extent<Source>[];
}

/** Virtual disks consist of sectors of this many bytes. */
export const SECTOR_SIZE = 512;

/** The smallest multiple of `unit` that isn't below `value`. */
export function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

/** The contents of a file as an image. */
export function fileImage(file: Reader): Image {
  return imageOf([{ kind: 'range', length: file.size, source: file, offset: 0 }]);
}

/** An image of these extents; neighbours that continue each other become one. */
export function imageOf(extents: Iterable<Extent>): Image {
  const builder = new ExtentList();
  for (const extent of extents) builder.push(extent);
  return builder.image();
}

/**
 * The image with some ranges replaced; patches must not overlap and may come in any order.
 *
 * @throws RangeError if a patch lies outside the image or two overlap
 */
export function patchImage(image: Image, patches: readonly Patch[]): Image {
  const sorted = patches.filter(({ bytes }) => bytes.length > 0).sort((a, b) => a.offset - b.offset);
  const cursor = new ExtentCursor(image);
  const list = new ExtentList();
  for (const { offset, bytes } of sorted) {
    if (offset < cursor.position || offset + bytes.length > image.size) {
      throw new RangeError(`a patch of ${bytes.length} bytes at ${offset} overlaps another or lies outside the image`);
    }
    list.append(cursor.take(offset - cursor.position));
    list.push({ kind: 'bytes', length: bytes.length, bytes });
    cursor.skip(bytes.length);
  }
  list.append(cursor.take(image.size - cursor.position));
  return list.image();
}

/**
 * The image followed by zeros up to `size` bytes.
 *
 * @throws RangeError if the image is larger
 */
export function growImage<T extends Image>(image: T, size: number): T {
  if (size < image.size) throw new RangeError(`an image of ${image.size} bytes can't be made ${size} bytes large`);
  const list = new ExtentList();
  list.append(image.extents);
  list.push({ kind: 'zeros', length: size - image.size });
  return { ...image, ...list.image() };
}

/** Collects extents; neighbours that continue each other are joined, and empty ones dropped. */
export class ExtentList {
  readonly #extents: Extent[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(extent: Extent): void {
    if (extent.length === 0) return;
    this.#size += extent.length;
    const last = this.#extents.at(-1);
    if (last && last.kind === extent.kind && continues(last, extent)) {
      this.#extents[this.#extents.length - 1] = { ...last, length: last.length + extent.length } as Extent;
    } else this.#extents.push(extent);
  }

  append(extents: Iterable<Extent>): void {
    for (const extent of extents) this.push(extent);
  }

  /** Fills with zeros up to this position. */
  padTo(position: number): void {
    this.push({ kind: 'zeros', length: position - this.#size });
  }

  image(): Image {
    return { size: this.#size, extents: this.#extents };
  }
}

function continues(last: Extent, next: Extent): boolean {
  if (last.kind === 'range' && next.kind === 'range') {
    return last.source === next.source && last.offset + last.length === next.offset;
  }
  return last.kind === 'zeros';
}

/** How many bytes writing an image takes on the disk at most; zeros take none. */
export function requiredSpace(image: Image): number {
  return image.extents.reduce((sum, { kind, length }) => sum + (kind === 'zeros' ? 0 : length), 0);
}

/** Walks through an image from its beginning to its end. */
export class ExtentCursor {
  readonly #extents: readonly Extent[];
  #index = 0;
  /** How much of the current extent is used up. */
  #used = 0;
  position = 0;

  constructor(image: Image) {
    this.#extents = image.extents;
  }

  /** How many bytes are left of the current extent; 0 at the end. */
  get ahead(): number {
    const extent = this.#extents[this.#index];
    return extent ? extent.length - this.#used : 0;
  }

  /** Where the next byte comes from, if it comes from a source. */
  get rangeAhead(): { source: Reader; offset: number } | undefined {
    const extent = this.#extents[this.#index];
    return extent?.kind === 'range' ? { source: extent.source, offset: extent.offset + this.#used } : undefined;
  }

  /** How many bytes of zeros follow in the current extent. */
  get zerosAhead(): number {
    const extent = this.#extents[this.#index];
    return extent?.kind === 'zeros' ? extent.length - this.#used : 0;
  }

  /** The next extent, cut to at most `limit` bytes; undefined at the end. */
  next(limit: number): Extent | undefined {
    const extent = this.#extents[this.#index];
    if (!extent) return undefined;
    const length = Math.min(limit, extent.length - this.#used);
    const piece = cut(extent, this.#used, length);
    this.#used += length;
    this.position += length;
    if (this.#used === extent.length) {
      this.#index++;
      this.#used = 0;
    }
    return piece;
  }

  /** The extents of the next `length` bytes. */
  *take(length: number): Generator<Extent> {
    for (let left = length; left > 0; ) {
      const piece = this.next(left);
      if (!piece) return;
      left -= piece.length;
      yield piece;
    }
  }

  skip(length: number): void {
    for (const _ of this.take(length));
  }
}

/** `length` bytes of an extent, from `start`. */
export function cut(extent: Extent, start: number, length: number): Extent {
  if (start === 0 && length === extent.length) return extent;
  if (extent.kind === 'bytes') return { kind: 'bytes', length, bytes: extent.bytes.subarray(start, start + length) };
  if (extent.kind === 'range') return { ...extent, length, offset: extent.offset + start };
  return { kind: 'zeros', length };
}

/** Fills `buffer` with the bytes of extents that are as long together. */
export async function readExtents(extents: readonly Extent[], buffer: Uint8Array): Promise<void> {
  let position = 0;
  for (const extent of extents) {
    const target = buffer.subarray(position, position + extent.length);
    if (extent.kind === 'bytes') target.set(extent.bytes);
    else if (extent.kind === 'zeros') target.fill(0);
    else await readInto(extent.source, target, extent.offset);
    position += extent.length;
  }
}

/** Random read access to the bytes of an image. */
export function imageReader(image: Image, name: string): Reader {
  return {
    name,
    size: image.size,
    async read(offset, length) {
      if (offset + length > image.size) throw new Error(`${name} has no ${length} bytes at ${offset}`);
      const cursor = new ExtentCursor(image);
      cursor.skip(offset);
      const buffer = Buffer.alloc(length);
      await readExtents([...cursor.take(length)], buffer);
      return buffer;
    },
  };
}
