/** What slow domain functions report to. Units are bytes. */
export interface Progress {
  /** Sets or corrects the expected total. */
  total(bytes: number): void;
  /** Adds to what is done; a negative number takes back what has to be done again. */
  advance(bytes: number): void;
}

/** Is told bytes that are done, and waited for. */
export type Advance = (bytes: number) => void | Promise<void>;

/** For callers that don't care. */
export const noProgress: Progress = { total: () => {}, advance: () => {} };

/** So many bytes are told at once. */
const STEP = 8 * 1024 * 1024;

/**
 * Sums up many small advances.
 *
 * @param tell is called every 8 MiB, and with the rest at the end; what it returns is returned
 */
export function inSteps<T>(tell: (bytes: number) => T): {
  readonly advance: (bytes: number) => T | undefined;
  readonly finish: () => T;
} {
  let untold = 0;
  const flush = () => {
    const bytes = untold;
    untold = 0;
    return tell(bytes);
  };
  return {
    advance: (bytes) => {
      untold += bytes;
      return untold < STEP ? undefined : flush();
    },
    finish: flush,
  };
}
