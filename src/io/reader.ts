import { read, readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { promisify } from 'node:util';
import { hasCode } from './errors.ts';

/** Random read access to a sequence of bytes of known length. */
export interface Reader {
  /** What the bytes are called in messages: a path as the user gave it. */
  readonly name: string;
  /** Length in bytes. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes from `offset`.
   *
   * @throws Error if the range isn't inside the bytes
   */
  read(offset: number, length: number): Promise<Buffer>;
  /** Fills `buffer` from `offset`, for readers that can do without a buffer of their own. See `readInto`. */
  readInto?(buffer: Uint8Array, offset: number): Promise<void>;
  /** The same beside other work of the thread, for readers whose `readInto` makes it wait. */
  readAhead?(buffer: Uint8Array, offset: number): Promise<void>;
}

/** Fills `buffer` with the bytes from `offset`. */
export async function readInto(reader: Reader, buffer: Uint8Array, offset: number): Promise<void> {
  if (reader.readInto) await reader.readInto(buffer, offset);
  else buffer.set(await reader.read(offset, buffer.length));
}

/** Small enough to be written fast, see `WRITE_SIZE` in `src/disk/copy-part.ts`. */
const CHUNK_SIZE = 256 * 1024;

/** Reads a range in pieces that fit in memory, each in a buffer of its own. */
export async function* readChunks(reader: Reader, offset: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length; done += CHUNK_SIZE) {
    yield await reader.read(offset + done, Math.min(CHUNK_SIZE, length - done));
  }
}

/** A file opened for random reading; a range outside of it is an error, never a short result. */
export class FileReader implements Reader, AsyncDisposable {
  readonly name: string;
  /** Where the file was found; it may have been replaced since. */
  readonly path: string;
  readonly size: number;
  readonly handle: FileHandle;

  private constructor(name: string, path: string, size: number, handle: FileHandle) {
    this.name = name;
    this.path = path;
    this.size = size;
    this.handle = handle;
  }

  /**
   * Opens a regular file.
   *
   * @param name what messages call the file, if not its path
   * @throws Error naming the path where it doesn't exist or is no regular file
   */
  static async open(path: string, name = path): Promise<FileReader> {
    const handle = await open(path, 'r').catch((error: unknown) => {
      throw hasCode(error, 'ENOENT') ? new Error(`${name}: there is no such file`, { cause: error }) : error;
    });
    const stat = await handle.stat();
    if (!stat.isFile()) {
      await handle.close();
      throw new Error(`${name} is not a regular file`);
    }
    return new FileReader(name, path, stat.size, handle);
  }

  /** For `openFileReader` in another thread. */
  get openFile(): OpenFile {
    return { name: this.name, size: this.size, fd: this.handle.fd };
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(this, offset, length);
    const buffer = Buffer.allocUnsafe(length);
    await this.readInto(buffer, offset);
    return buffer;
  }

  async readInto(buffer: Uint8Array, offset: number): Promise<void> {
    const { length } = buffer;
    checkRange(this, offset, length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.handle.read(buffer, done, length - done, offset + done);
      if (bytesRead === 0) throw becameShorter(this);
      done += bytesRead;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.handle.close();
  }
}

/** What another thread needs of a `FileReader`, which must stay open meanwhile. */
export interface OpenFile {
  readonly name: string;
  readonly size: number;
  readonly fd: number;
}

/** Reads a file that another thread has opened. Reads are synchronous: whoever has a thread of their own only waits. */
export function openFileReader(file: OpenFile): Reader {
  const { name, size, fd } = file;
  const readInto = (buffer: Uint8Array, offset: number) => {
    checkRange(file, offset, buffer.length);
    for (let done = 0; done < buffer.length; ) {
      const bytesRead = readSync(fd, buffer, done, buffer.length - done, offset + done);
      if (bytesRead === 0) throw becameShorter(file);
      done += bytesRead;
    }
  };
  return {
    name,
    size,
    async read(offset, length) {
      const buffer = Buffer.allocUnsafe(length);
      readInto(buffer, offset);
      return buffer;
    },
    async readInto(buffer, offset) {
      readInto(buffer, offset);
    },
    async readAhead(buffer, offset) {
      checkRange(file, offset, buffer.length);
      const { bytesRead } = await readOnce(fd, { buffer, position: offset });
      if (bytesRead < buffer.length) readInto(buffer.subarray(bytesRead), offset + bytesRead);
    },
  };
}

const readOnce = promisify(read);

function becameShorter({ name }: { name: string }): Error {
  return new Error(`${name} became shorter while it was read`);
}

/** A reader over bytes in memory. */
export function bytesReader(name: string, bytes: Uint8Array): Reader {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    name,
    size: buffer.length,
    async read(offset, length) {
      checkRange(this, offset, length);
      return buffer.subarray(offset, offset + length);
    },
  };
}

/** A window of another reader: `length` bytes from `offset`. */
export function slice(reader: Reader, offset: number, length: number, name = reader.name): Reader {
  checkRange(reader, offset, length);
  return {
    name,
    size: length,
    async read(start, count) {
      checkRange(this, start, count);
      return reader.read(offset + start, count);
    },
  };
}

function checkRange(reader: Pick<Reader, 'name' | 'size'>, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > reader.size) {
    throw new Error(
      `${reader.name} is truncated or damaged: it has ${reader.size} bytes, but ${length} bytes at ${offset} are needed`,
    );
  }
}
