/** Bytes that replace a range of the same length in a larger image. */
export interface Patch {
  /** Where the range starts, in bytes from the image's beginning. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}
