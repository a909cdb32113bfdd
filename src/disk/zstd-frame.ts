/** Length of the fields that the frame header descriptor announces (RFC 8878, 3.1.1.1). */
const CONTENT_SIZE_LENGTHS = [0, 2, 4, 8];
const DICTIONARY_ID_LENGTHS = [0, 1, 2, 4];
const RLE_BLOCK = 1;

/**
 * How many bytes the zstd frame at the beginning of `bytes` takes, checksum included (RFC 8878, 3.1.1).
 *
 * @throws RangeError if it doesn't end inside `bytes`
 */
export function zstdFrameLength(bytes: Buffer): number {
  const descriptor = bytes.readUInt8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeLength = CONTENT_SIZE_LENGTHS[descriptor >> 6] || (singleSegment ? 1 : 0);
  let position = 5 + (singleSegment ? 0 : 1) + (DICTIONARY_ID_LENGTHS[descriptor & 3] ?? 0) + contentSizeLength;
  for (let last = false; !last; ) {
    const block = bytes.readUIntLE(position, 3);
    last = (block & 1) === 1;
    position += 3 + (((block >> 1) & 3) === RLE_BLOCK ? 1 : block >> 3);
  }
  if (descriptor & 4) position += 4;
  if (position > bytes.length) throw new RangeError('the zstd frame is cut off');
  return position;
}
