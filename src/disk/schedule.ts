import { type Extent, ExtentCursor, type Image } from './image.ts';

/** One thing to do for one output: `piece` comes to `position` of its file. */
export interface Step {
  /** Index of the output. */
  readonly output: number;
  readonly position: number;
  readonly piece: Extent;
}

/**
 * The order in which several images are written: each from its beginning to its end, and all of them close together
 * in the file behind them, so that each of its chunks is read once and used by all. Where images have the same
 * beginning, an earlier one is never behind a later one in it.
 *
 * @param chunkSize no step crosses a multiple of this in its source; other pieces are at most as long
 * @param zeroLimit zeros come in pieces of at most this many bytes
 */
export function* schedule(images: readonly Image[], chunkSize: number, zeroLimit: number): Generator<Step> {
  const walks = images.map((image, output) => new Walk(image, output, chunkSize, zeroLimit));
  for (;;) {
    let first: Walk | undefined;
    for (const walk of walks) {
      if (walk.piece && (first === undefined || walk.key < first.key)) first = walk;
    }
    if (!first?.piece) return;
    yield { output: first.output, position: first.position, piece: first.piece };
    first.advance();
  }
}

/** Where one output stands. */
class Walk {
  readonly output: number;
  readonly #cursor: ExtentCursor;
  readonly #chunkSize: number;
  readonly #zeroLimit: number;
  piece: Extent | undefined;
  position = 0;
  /** How far the output is in its source; what doesn't come from there is done at once. */
  key = -1;

  constructor(image: Image, output: number, chunkSize: number, zeroLimit: number) {
    this.output = output;
    this.#cursor = new ExtentCursor(image);
    this.#chunkSize = chunkSize;
    this.#zeroLimit = zeroLimit;
    this.advance();
  }

  advance(): void {
    this.position = this.#cursor.position;
    const range = this.#cursor.rangeAhead;
    if (range) this.key = range.offset;
    const limit = range
      ? this.#chunkSize - (range.offset % this.#chunkSize)
      : this.#cursor.zerosAhead > 0
        ? this.#zeroLimit
        : this.#chunkSize;
    this.piece = this.#cursor.next(limit);
  }
}

/** How many bytes two images have in common at their beginning, as far as their extents tell without reading. */
export function commonBeginning(a: Image, b: Image): number {
  const left = new ExtentCursor(a);
  const right = new ExtentCursor(b);
  for (;;) {
    const limit = Math.min(left.ahead, right.ahead);
    if (limit === 0) return left.position;
    const start = left.position;
    const same = commonLength(left.next(limit), right.next(limit));
    if (same < limit) return start + same;
  }
}

/** How many bytes two extents of the same length have in common at their beginning. */
function commonLength(a: Extent | undefined, b: Extent | undefined): number {
  if (a?.kind === 'zeros' && b?.kind === 'zeros') return a.length;
  if (a?.kind === 'range' && b?.kind === 'range') {
    return a.source === b.source && a.offset === b.offset ? a.length : 0;
  }
  if (a?.kind !== 'bytes' || b?.kind !== 'bytes') return 0;
  const difference = a.bytes === b.bytes ? -1 : a.bytes.findIndex((byte, i) => byte !== b.bytes[i]);
  return difference < 0 ? a.length : difference;
}
