/** What slow domain functions report to. Units are bytes. */
export interface Progress {
  /** Sets or corrects the expected total. */
  total(bytes: number): void;
  /** Adds to what is done; a negative number takes back what has to be done again. */
  advance(bytes: number): void;
}

/** For callers that don't care. */
export const noProgress: Progress = { total: () => {}, advance: () => {} };
