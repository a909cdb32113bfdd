import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PassThrough } from 'node:stream';
import { hasCode } from '../io/errors.ts';
import { formatSize, MiB } from '../io/sizes.ts';
import { SpentBuffers } from '../io/spent-buffers.ts';
import type { Decompress } from './decompress.ts';
import type { ByteSink } from './download.ts';
import type { DetachedSignature } from './signature.ts';

/** Chunks are gathered to this many bytes for one write. */
const BATCH_SIZE = MiB;

/** The hashes of one pass over a file: its SHA-256 and what its signature needs. */
export class ImageHashes {
  readonly sha256: Hash = createHash('sha256');
  readonly forSignature: readonly (Hash | undefined)[];
  readonly #others: readonly Hash[];

  constructor(signature: DetachedSignature | undefined) {
    this.forSignature = signature?.startHashes() ?? [];
    this.#others = this.forSignature.filter((hash) => hash !== undefined);
  }

  update(chunk: Uint8Array): void {
    this.sha256.update(chunk);
    for (const hash of this.#others) hash.update(chunk);
  }

  /** The SHA-256 so far, in lower-case hex; the hashes stay usable. */
  digest(): string {
    return this.sha256.copy().digest('hex');
  }
}

export interface ImageWriterOptions {
  /** Where it will be, for messages. */
  readonly path: string;
  readonly signature: DetachedSignature | undefined;
  /** What arrives goes through this before it is written. */
  readonly decompress?: (() => Promise<Decompress>) | undefined;
  /** Free bytes in a folder; tests replace it. */
  readonly freeBytes?: ((folder: string) => Promise<number>) | undefined;
}

/** Writes an image to a file while it arrives, hashing it in the same pass, and if need be decompressing it. */
export class ImageWriter implements ByteSink, AsyncDisposable {
  /** Over the bytes as they arrive. */
  hashes: ImageHashes;
  /** Over the bytes in the file, where they were decompressed. */
  written: ImageHashes | undefined;
  readonly #file: FileHandle;
  readonly #spent = new SpentBuffers();
  readonly #options: ImageWriterOptions;
  #batch: Buffer[] = [];
  #batched = 0;
  #position = 0;
  #writing: Promise<void> = Promise.resolve();
  #decompressor: Decompressor | undefined;

  constructor(file: FileHandle, options: ImageWriterOptions) {
    this.#file = file;
    this.#options = options;
    this.hashes = new ImageHashes(options.signature);
  }

  /** Bytes in the file. */
  get size(): number {
    return this.#position + this.#batched;
  }

  /** @throws Error naming the need and the free bytes if the file system is too full */
  async expect(size: number): Promise<void> {
    const { path, freeBytes = freeBytesOf } = this.#options;
    const free = await freeBytes(dirname(path));
    if (size > free) {
      const exact = `${size} bytes, but only ${free} bytes`;
      throw new Error(
        `${path} needs ${exact} are free in that folder (${formatSize(size)} of ${formatSize(free)}): make room, or choose another "output-dir"`,
      );
    }
  }

  async write(chunk: Buffer): Promise<void> {
    this.hashes.update(chunk);
    if (!this.#options.decompress) return this.#append(chunk);
    this.#decompressor ??= await this.#startDecompressor(this.#options.decompress);
    await this.#decompressor.write(chunk);
  }

  async restart(): Promise<void> {
    await this.#decompressor?.abandon();
    await this.#writing;
    this.#decompressor = undefined;
    this.#batch = [];
    this.#batched = 0;
    this.#position = 0;
    this.hashes = new ImageHashes(this.#options.signature);
    this.written = undefined;
    await this.#file.truncate(0);
  }

  /** Waits until every byte is in the file. */
  async finish(): Promise<void> {
    await this.#decompressor?.finish();
    await this.#flush();
    await this.#writing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#decompressor?.abandon();
    await this.#writing.catch(() => {});
  }

  async #startDecompressor(decompress: () => Promise<Decompress>): Promise<Decompressor> {
    const written = new ImageHashes(undefined);
    this.written = written;
    return new Decompressor(await decompress(), async (chunk) => {
      written.update(chunk);
      await this.#append(chunk);
    });
  }

  async #append(chunk: Buffer): Promise<void> {
    this.#batch.push(chunk);
    this.#batched += chunk.length;
    if (this.#batched >= BATCH_SIZE) await this.#flush();
  }

  /** Hands the batch to the file system and waits for the one before, so that hashing and writing overlap. */
  async #flush(): Promise<void> {
    await this.#writing;
    if (this.#batched === 0) return;
    this.#spent.add(this.#batched);
    const batch = this.#batch;
    const position = this.#position;
    this.#position += this.#batched;
    this.#batch = [];
    this.#batched = 0;
    this.#writing = this.#writeAll(batch, position);
    // Met where it is awaited.
    this.#writing.catch(() => {});
  }

  async #writeAll(batch: Buffer[], position: number): Promise<void> {
    const length = batch.reduce((sum, chunk) => sum + chunk.length, 0);
    try {
      const { bytesWritten } = await this.#file.writev(batch, position);
      if (bytesWritten < length)
        await this.#writeRest(Buffer.concat(batch).subarray(bytesWritten), position + bytesWritten);
    } catch (error) {
      if (!hasCode(error, 'ENOSPC', 'EDQUOT')) throw error;
      throw new Error(`${this.#options.path}: the file system is full after ${formatSize(position)}`, { cause: error });
    }
  }

  async #writeRest(rest: Buffer, position: number): Promise<void> {
    for (let done = 0; done < rest.length; ) {
      const { bytesWritten } = await this.#file.write(rest, done, rest.length - done, position + done);
      done += bytesWritten;
    }
  }
}

async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** A decompression as something that is written to and waited for. */
class Decompressor {
  readonly #input = new PassThrough({ highWaterMark: MiB });
  readonly #output: Promise<void>;

  constructor(decompress: Decompress, consume: (chunk: Buffer) => Promise<void>) {
    this.#output = this.#run(decompress, consume);
    // Met where it is awaited.
    this.#output.catch(() => {});
  }

  async write(chunk: Buffer): Promise<void> {
    if (this.#input.destroyed) return this.#output;
    const accepted = new Promise<void>((done) => this.#input.write(chunk, () => done()));
    // Broken data or a full disk end the output early; then the write may never be answered.
    await Promise.race([accepted, this.#output]);
  }

  async finish(): Promise<void> {
    this.#input.end();
    await this.#output;
  }

  async abandon(): Promise<void> {
    this.#input.destroy();
    await this.#output.catch(() => {});
  }

  async #run(decompress: Decompress, consume: (chunk: Buffer) => Promise<void>): Promise<void> {
    try {
      for await (const chunk of decompress(this.#input)) await consume(chunk);
    } finally {
      this.#input.destroy();
    }
  }
}
