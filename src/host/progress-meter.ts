import { formatSize } from '../io/sizes.ts';

/** Rate and time left of something measured in bytes; the clock is in milliseconds. */
export class ProgressMeter {
  readonly #label: string;
  readonly #started: number;
  #total: number | undefined;
  #done = 0;

  constructor(label: string, total: number | undefined, now: number) {
    this.#label = label;
    this.#total = total;
    this.#started = now;
  }

  total(bytes: number): void {
    this.#total = bytes;
  }

  advance(bytes: number): void {
    this.#done = Math.max(0, this.#done + bytes);
  }

  /** Whether nothing was done, which needs no line. */
  get idle(): boolean {
    return this.#done === 0;
  }

  /** 0 to 1; undefined as long as the total isn't known. */
  get fraction(): number | undefined {
    return this.#total ? Math.min(1, this.#done / this.#total) : undefined;
  }

  /** For example `base.iso  45%  450 MiB of 1000 MiB  312 MiB/s  2 s left`. */
  line(now: number): string {
    const seconds = Math.max(0.001, (now - this.#started) / 1000);
    const rate = this.#done / seconds;
    const parts = [this.#label];
    if (this.fraction !== undefined) parts.push(`${Math.floor(this.fraction * 100)}%`.padStart(4));
    parts.push(this.#total ? `${formatSize(this.#done)} of ${formatSize(this.#total)}` : formatSize(this.#done));
    parts.push(`${formatSize(Math.round(rate))}/s`);
    if (this.#total && rate > 0 && this.#done < this.#total) {
      parts.push(`${Math.ceil((this.#total - this.#done) / rate)} s left`);
    }
    return parts.join('  ');
  }
}
