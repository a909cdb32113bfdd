export type { Compression } from './codecs.ts';
export { compressSmallest, compressToFit, deflateRaw, type Packed, type Packing, zstdCompress } from './compress.ts';
export { type ArchiveMember, writeArchive } from './cpio.ts';
export { decompress, decompressStream, decompressXz, inflateRaw, zstdDecompress } from './decompress.ts';
export { ArchivesReader, filesOf, readArchives } from './initrd.ts';
