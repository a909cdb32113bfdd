import { type Reader, readInto } from '../io/reader.ts';

/** One buffer of the ring. */
export interface Slot {
  /** Where it starts in the shared memory. */
  readonly start: number;
  readonly bytes: Uint8Array;
  /** Settles when the bytes are there. */
  ready: Promise<void>;
  /** Who still needs the bytes; 0 makes the slot free for others. */
  users: number;
  source: Reader | undefined;
  chunk: number;
  lastUse: number;
}

/**
 * A few chunks of sources in shared memory, each read once for all that need it at about the same time. The only large
 * memory that writing needs.
 */
export class ChunkRing {
  readonly memory: SharedArrayBuffer;
  readonly #chunkSize: number;
  readonly #slots: Slot[];
  #clock = 0;
  #wake: (() => void) | undefined;

  constructor(slots: number, chunkSize: number) {
    this.memory = new SharedArrayBuffer(slots * chunkSize);
    this.#chunkSize = chunkSize;
    this.#slots = Array.from({ length: slots }, (_, i) => ({
      start: i * chunkSize,
      bytes: new Uint8Array(this.memory, i * chunkSize, chunkSize),
      ready: Promise.resolve(),
      users: 0,
      source: undefined,
      chunk: 0,
      lastUse: 0,
    }));
  }

  /** The slot with a chunk of a source, which is being read unless it is there already. `release` it afterwards. */
  async chunk(source: Reader, chunk: number): Promise<Slot> {
    const present = this.#slots.find((slot) => slot.source === source && slot.chunk === chunk);
    if (present) return this.#use(present);
    const slot = await this.#free();
    slot.source = source;
    slot.chunk = chunk;
    const offset = chunk * this.#chunkSize;
    const length = Math.min(this.#chunkSize, source.size - offset);
    slot.ready = readInto(source, slot.bytes.subarray(0, length), offset);
    // Whoever uses the slot awaits `ready`; until then a failure must not count as unhandled.
    slot.ready.catch(() => {});
    return slot;
  }

  /** A slot filled with bytes from memory, at most a chunk. */
  async copyOf(bytes: Uint8Array): Promise<Slot> {
    const slot = await this.#free();
    slot.source = undefined;
    slot.bytes.set(bytes);
    slot.ready = Promise.resolve();
    return slot;
  }

  release(slot: Slot): void {
    slot.users--;
    if (slot.users > 0) return;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** The free slot that wasn't used for the longest time; waits for one. */
  async #free(): Promise<Slot> {
    for (;;) {
      let oldest: Slot | undefined;
      for (const slot of this.#slots) {
        if (slot.users === 0 && (oldest === undefined || slot.lastUse < oldest.lastUse)) oldest = slot;
      }
      if (oldest) return this.#use(oldest);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #use(slot: Slot): Slot {
    slot.users++;
    slot.lastUse = ++this.#clock;
    return slot;
  }
}
