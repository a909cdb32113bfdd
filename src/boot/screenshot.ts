import { crc32, deflateSync } from 'node:zlib';

const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/**
 * Turns a binary PPM of 8 bits per sample, as QEMU's `screendump` writes it, into a PNG. QEMU writes PNG itself only from
 * 7.1 on, and only where it was built with libpng.
 *
 * @throws Error if it isn't such a PPM
 */
export function ppmToPng(ppm: Buffer): Buffer {
  const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(ppm.toString('latin1', 0, 64));
  const [text = '', width = 0, height = 0] = header ? [header[0], Number(header[1]), Number(header[2])] : [];
  const rowLength = width * 3;
  const pixels = ppm.subarray(text.length);
  if (!header || width === 0 || height === 0 || pixels.length !== rowLength * height) {
    throw new Error('the screenshot is not a complete PPM');
  }
  // Each row is preceded by its filter type; 0 is none.
  const rows = Buffer.alloc((rowLength + 1) * height);
  for (let y = 0; y < height; y++) {
    pixels.copy(rows, y * (rowLength + 1) + 1, y * rowLength, (y + 1) * rowLength);
  }
  const size = Buffer.alloc(13);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  // 8 bits per sample, RGB; PNG specification, section 11.2.1.
  size.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    PNG_SIGNATURE,
    chunk('IHDR', size),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
