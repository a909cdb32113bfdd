import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MiB } from './sizes.ts';

/** So many bytes may go by before their buffers are given back. */
const INTERVAL = 8 * MiB;

type Collect = (options: { type: 'minor' }) => void;

let collect: Collect | undefined;

/**
 * Keeps the memory of a stream small. Node reads each piece from the network into a new buffer, and V8, which sees only
 * small objects, lets nearly 100 MB of them pile up before it looks. This asks for the quick collection of young objects,
 * under a millisecond, every few megabytes.
 */
export class SpentBuffers {
  #spent = 0;

  /** Tells that so many bytes were used and aren't needed any more. */
  add(bytes: number): void {
    this.#spent += bytes;
    if (this.#spent < INTERVAL) return;
    this.#spent = 0;
    collect ??= collector();
    collect({ type: 'minor' });
  }
}

function collector(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
