import { Codecs, type Compression } from './codecs.ts';
import { sharedCodecs } from './decompress.ts';

/** How an archive is stored. */
export type Packing = Compression | 'none';

export interface Packed {
  readonly bytes: Uint8Array;
  readonly compression: Packing;
}

const EXTREME = 0x80000000;
const GZIP_WINDOW = 16 + 15;
const MAX_ZSTD_LEVEL = 22;

/** xz's `-9` and `-9e`, and `-9e` for text: bytes in the place of words (`pb=0`), and more of the byte before (`lc=4`). */
const XZ_OPTIONS = [
  { preset: 9, lc: 3, pb: 2 },
  { preset: 9 + EXTREME, lc: 3, pb: 2 },
  { preset: 9 + EXTREME, lc: 4, pb: 0 },
] as const;

/** From the simplest to the most special; of equally small results the first is taken. */
const PACKINGS: readonly Packing[] = ['none', 'gzip', 'xz', 'zstd'];

/**
 * The smallest form of an archive that the kernel unpacks. The result depends on nothing but the bytes.
 *
 * @param options.among what is tried, if not everything: kernels before 5.9 don't know zstd
 */
export function compressSmallest(bytes: Uint8Array, options: { readonly among?: readonly Packing[] } = {}): Packed {
  const { among = PACKINGS } = options;
  const codecs = new Codecs();
  const results = PACKINGS.filter((compression) => among.includes(compression)).flatMap((compression) =>
    pack(codecs, compression, bytes).map((packed) => ({ bytes: packed, compression })),
  );
  const [smallest] = results.sort((a, b) => a.bytes.length - b.bytes.length);
  return smallest ?? { bytes, compression: 'none' };
}

/**
 * An archive as `xz -9` stores it, like the CoreOS tools do, if that fits; else the smallest form, however long it takes.
 *
 * @param limit in bytes; the result may still be larger
 */
export function compressToFit(
  bytes: Uint8Array,
  limit: number,
  options: { readonly among?: readonly Packing[] } = {},
): Packed {
  const [{ preset, lc, pb }] = XZ_OPTIONS;
  const packed = new Codecs().xz(bytes, preset, lc, pb);
  return packed && packed.length <= limit ? { bytes: packed, compression: 'xz' } : compressSmallest(bytes, options);
}

function pack(codecs: Codecs, compression: Packing, bytes: Uint8Array): Uint8Array[] {
  const present = (results: readonly (Buffer | undefined)[]) => results.filter((result) => result !== undefined);
  switch (compression) {
    case 'none':
      return [bytes];
    case 'gzip':
      return present([codecs.zlib(bytes, 9, GZIP_WINDOW)]);
    case 'xz':
      return present(XZ_OPTIONS.map(({ preset, lc, pb }) => codecs.xz(bytes, preset, lc, pb)));
    case 'zstd':
      return present([codecs.zstd(bytes, MAX_ZSTD_LEVEL)]);
  }
}

/**
 * One zstd frame; the same bytes on every machine. `undefined` if that would be larger than the input by more than 1 KiB.
 *
 * @param level 1 to 22
 */
export function zstdCompress(bytes: Uint8Array, level: number): Buffer | undefined {
  return sharedCodecs().zstd(bytes, level);
}

/**
 * One raw deflate stream; the same bytes on every machine. `undefined` if that would be larger than the input by more
 * than 1 KiB.
 *
 * @param level 1 to 12; 1 is twice as fast as zlib, and as small as its 3
 */
export function deflateRaw(bytes: Uint8Array, level = 6): Buffer | undefined {
  return sharedCodecs().deflate(bytes, level);
}
