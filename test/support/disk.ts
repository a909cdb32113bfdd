import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Image, imageOf, writeImage } from '../../src/disk/index.ts';
import { bytesReader, FileReader } from '../../src/io/reader.ts';

/** A temporary folder that goes away with its scope. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: (name: string) => string }> {
  const folder = await mkdtemp(join(tmpdir(), 'k4all-disk-'));
  return {
    path: (name) => join(folder, name),
    async [Symbol.asyncDispose]() {
      await rm(folder, { recursive: true });
    },
  };
}

/** Bytes that don't compress and don't repeat, the same for the same seed. */
export function noise(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

/** `toEqual` for megabytes: says where the first difference is. */
export function expectSame(actual: Uint8Array, expected: Uint8Array): void {
  const same = Buffer.compare(actual, expected) === 0;
  const at = same ? -1 : actual.findIndex((byte, i) => byte !== expected[i]);
  expect({ length: actual.length, differsAt: at }).toEqual({ length: expected.length, differsAt: -1 });
}

/** An image in memory. */
export function memoryImage(bytes: Uint8Array): Image {
  return imageOf([{ kind: 'bytes', length: bytes.length, bytes }]);
}

/** All bytes of an image, as a file would have them. */
export async function bytesOf(image: Image): Promise<Buffer> {
  await using folder = await temporaryFolder();
  await writeImage(image, folder.path('image'));
  await using reader = await FileReader.open(folder.path('image'));
  return reader.read(0, reader.size);
}

/** The file that an image becomes, as a reader. */
export async function readerOf(image: Image, name = 'image'): Promise<ReturnType<typeof bytesReader>> {
  return bytesReader(name, await bytesOf(image));
}
