import type { Reader } from '../io/reader.ts';
import { behindEnd, damaged } from './qcow2-header.ts';

const BITS_PER_PAGE = 2 ** 15;

/**
 * The clusters or blocks of a file that tables point to. Each lies inside the file and is pointed to once; that bounds
 * the time and memory that a hostile file can cost by its size.
 */
export class ClaimedPlaces {
  readonly #reader: Reader;
  readonly #unit: number;
  /** A bitmap in pages, so that a sparse file costs little. */
  readonly #pages = new Map<number, Uint8Array>();

  /** @param unit size of a cluster or block; places are told apart by whole units */
  constructor(reader: Reader, unit: number) {
    this.#reader = reader;
    this.#unit = unit;
  }

  /** @throws Error if `length` bytes at `offset` aren't all inside the file, or the place was claimed before */
  add(offset: number, length: number, what: string): void {
    if (offset + length > this.#reader.size) throw behindEnd(this.#reader, what, offset);
    const place = Math.floor(offset / this.#unit);
    const index = Math.floor(place / BITS_PER_PAGE);
    const page = this.#pages.get(index) ?? new Uint8Array(BITS_PER_PAGE / 8);
    this.#pages.set(index, page);
    const byte = (place % BITS_PER_PAGE) >> 3;
    const bit = 1 << (place & 7);
    const before = page[byte] ?? 0;
    if (before & bit) throw damaged(this.#reader, `its tables point twice to ${what} at ${offset}`);
    page[byte] = before | bit;
  }
}
