import { open } from 'node:fs/promises';
import { SpentBuffers } from '../io/spent-buffers.ts';
import type { Descriptor } from './layer.ts';

const READ_SIZE = 256 * 1024;

/** A blob to upload: a range of bytes that can be read again from any place. */
export interface BlobSource {
  readonly descriptor: Descriptor;
  /** Reads up to `length` bytes from `offset`. */
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}

/** A blob in memory. */
export function bytesBlob(descriptor: Descriptor, bytes: Buffer): BlobSource {
  return {
    descriptor,
    async *read(offset, length) {
      yield bytes.subarray(offset, offset + length);
    },
  };
}

/** A blob in a file. */
export function fileBlob(descriptor: Descriptor, path: string): BlobSource {
  const spent = new SpentBuffers();
  return {
    descriptor,
    async *read(offset, length) {
      await using file = await open(path, 'r');
      for (let done = 0; done < length; ) {
        const wanted = Math.min(READ_SIZE, length - done);
        const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, offset + done);
        if (bytesRead === 0) throw new Error(`${path} became shorter while it was uploaded`);
        done += bytesRead;
        yield buffer.subarray(0, bytesRead);
        spent.add(bytesRead);
      }
    },
  };
}
