/** Turns a compressed file's chunks into those of its contents. */
export type Decompress = (source: AsyncIterable<Uint8Array>) => AsyncGenerator<Buffer, void, undefined>;

/** What a compressed image is called without its compression, and how it is decompressed. */
export interface Compression {
  readonly fileName: string;
  open(): Promise<Decompress>;
}

/** The compression that a file's name tells, if it is one that is undone on the way. */
export function compressionOf(fileName: string): Compression | undefined {
  const [, stem, suffix] = /^(.+)\.(xz|gz)$/.exec(fileName) ?? [];
  if (stem === undefined) return undefined;
  return {
    fileName: stem,
    async open() {
      const { decompressStream } = await import('../archive/index.ts');
      return decompressStream(suffix === 'xz' ? 'xz' : 'gzip', fileName);
    },
  };
}
