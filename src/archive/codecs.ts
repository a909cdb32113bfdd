import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';
import { formatSize, KiB, MiB } from '../io/sizes.ts';

/** What `wasm/codecs/codecs.c` exports. Pointers and sizes are 32-bit numbers; pointers may come out as negative. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  codecs_alloc(size: number): number;
  codecs_free(pointer: number): void;
  decoder_new(kind: number, memoryLimit: number): number;
  decoder_free(decoder: number): void;
  decoder_run(decoder: number, input: number, inputSize: number, output: number, outputSize: number): number;
  xz_encode(input: number, size: number, output: number, room: number, preset: number, lc: number, pb: number): number;
  zstd_encode(input: number, size: number, output: number, room: number, level: number): number;
  deflate_encode(input: number, size: number, output: number, room: number, level: number): number;
  zlib_encode(input: number, size: number, output: number, room: number, level: number, windowBits: number): number;
}

/** The part of the WebAssembly API that is used here. TypeScript has it only together with the whole DOM. */
interface WebAssemblyApi {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: object };
}
const { WebAssembly } = globalThis as unknown as { WebAssembly: WebAssemblyApi };

/** What can be decompressed, numbered as in `codecs.c`. */
const KINDS = { gzip: 0, xz: 1, zstd: 2 } as const;
export type Compression = keyof typeof KINDS;

/** Results of `decoder_run`; 0 is "goes on", another negative number is damage. */
const STATUS = { end: 1, memory: -2, unsupported: -3 } as const;

const INPUT_SIZE = 64 * KiB;
const OUTPUT_SIZE = MiB;
/** What a decoder may take: xz -9 needs 65 MiB, and zstd up to 128 MiB for the windows that every tool accepts. */
const MEMORY_LIMIT = 192 * MiB;

let compiled: object | undefined;

function compiledModule(): object {
  compiled ??= new WebAssembly.Module(brotliDecompressSync(readFileSync(moduleFile())));
  return compiled;
}

/** The module lies beside the bundle; the sources find it in `dist/`. */
function moduleFile(): string {
  const candidates = ['./codecs.wasm.br', '../../dist/codecs.wasm.br'];
  const files = candidates.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const file = files.find((candidate) => existsSync(candidate));
  if (file) return file;
  throw new Error(`The compression module is missing: neither ${files.join(' nor ')} exists (it is part of dist/)`);
}

/** Compressed data that can't be decoded; the decoder's offset is the place. */
export class DecodeError extends Error {
  override name = 'DecodeError';
}

/** One instance of the module. Its memory grows with the work and is given back when it is collected. */
export class Codecs {
  readonly #exports: Exports;

  /** @param bytes the module, if not the one in `dist/` */
  constructor(bytes?: Uint8Array) {
    const module = bytes ? new WebAssembly.Module(bytes) : compiledModule();
    this.#exports = new WebAssembly.Instance(module, {}).exports as Exports;
  }

  alloc(size: number): number {
    const pointer = this.#exports.codecs_alloc(size) >>> 0;
    if (pointer === 0) throw new Error(`There is no memory for ${size} bytes of compressed data`);
    return pointer;
  }

  free(pointer: number): void {
    this.#exports.codecs_free(pointer);
  }

  /** A view of the memory, which is valid until the next call that may allocate. */
  view(pointer: number, size: number): Uint8Array {
    return new Uint8Array(this.#exports.memory.buffer, pointer, size);
  }

  startDecoder(compression: Compression, memoryLimit: number): number {
    const pointer = this.#exports.decoder_new(KINDS[compression], memoryLimit) >>> 0;
    if (pointer === 0) throw new Error(`There is no memory for decompressing ${compression}`);
    return pointer;
  }

  endDecoder(pointer: number): void {
    this.#exports.decoder_free(pointer);
  }

  runDecoder(pointer: number, input: number, inputSize: number, output: number): DecoderStep {
    const status = this.#exports.decoder_run(pointer, input, inputSize, output, OUTPUT_SIZE);
    const totals = new DataView(this.#exports.memory.buffer, pointer, 8);
    return { status, consumed: totals.getUint32(0, true), produced: totals.getUint32(4, true) };
  }

  /** xz with CRC32, the one check that Linux knows; `preset` is 0 to 9, plus `0x80000000` for "extreme". */
  xz(bytes: Uint8Array, preset: number, lc: number, pb: number): Buffer | undefined {
    return this.#encode(bytes, (...buffers) => this.#exports.xz_encode(...buffers, preset, lc, pb));
  }

  zstd(bytes: Uint8Array, level: number): Buffer | undefined {
    return this.#encode(bytes, (...buffers) => this.#exports.zstd_encode(...buffers, level));
  }

  /** Raw deflate by libdeflate, whose levels are 1 to 12. */
  deflate(bytes: Uint8Array, level: number): Buffer | undefined {
    return this.#encode(bytes, (...buffers) => this.#exports.deflate_encode(...buffers, level));
  }

  /** `windowBits` as zlib has them: 16 more for gzip. */
  zlib(bytes: Uint8Array, level: number, windowBits: number): Buffer | undefined {
    return this.#encode(bytes, (...buffers) => this.#exports.zlib_encode(...buffers, level, windowBits));
  }

  /** Encodes from buffer to buffer; `undefined` if the result would be larger than the input by more than headers. */
  #encode(
    bytes: Uint8Array,
    run: (...buffers: [input: number, size: number, output: number, room: number]) => number,
  ): Buffer | undefined {
    const room = bytes.length + 1024;
    const input = this.alloc(bytes.length);
    const output = this.alloc(room);
    try {
      this.view(input, bytes.length).set(bytes);
      const size = run(input, bytes.length, output, room) >>> 0;
      return size === 0 ? undefined : Buffer.from(this.view(output, size));
    } finally {
      this.free(input);
      this.free(output);
    }
  }
}

interface DecoderStep {
  readonly status: number;
  readonly consumed: number;
  readonly produced: number;
}

/** Decodes one stream (a gzip member, an xz stream, a zstd frame) and stops at its end. */
export class Decoder implements Disposable {
  readonly #codecs: Codecs;
  readonly #compression: Compression;
  readonly #decoder: number;
  readonly #input: number;
  readonly #output: number;
  #ended = false;
  #offset = 0;

  constructor(compression: Compression, codecs = new Codecs()) {
    this.#codecs = codecs;
    this.#compression = compression;
    this.#decoder = codecs.startDecoder(compression, MEMORY_LIMIT);
    this.#input = codecs.alloc(INPUT_SIZE);
    this.#output = codecs.alloc(OUTPUT_SIZE);
  }

  /** Whether the stream's end was reached. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Bytes of the stream that were consumed. */
  get offset(): number {
    return this.#offset;
  }

  /**
   * Feeds the next bytes and yields what they decode to, in pieces of at most 1 MiB. Returns how many were consumed:
   * all, unless the stream ended.
   *
   * @throws DecodeError if they are damaged, or need more memory than is allowed
   */
  *feed(bytes: Uint8Array): Generator<Buffer, number> {
    let done = 0;
    while (!this.#ended) {
      const part = bytes.subarray(done, done + INPUT_SIZE);
      this.#codecs.view(this.#input, part.length).set(part);
      const { status, consumed, produced } = this.#codecs.runDecoder(
        this.#decoder,
        this.#input,
        part.length,
        this.#output,
      );
      done += consumed;
      this.#offset += consumed;
      this.#check(status, part.length > 0 && consumed + produced === 0);
      this.#ended = status === STATUS.end;
      if (produced > 0) yield Buffer.from(this.#codecs.view(this.#output, produced));
      if (done === bytes.length && produced < OUTPUT_SIZE) break;
    }
    return done;
  }

  #check(status: number, stuck: boolean): void {
    const data = `the ${this.#compression} data`;
    if (status === STATUS.memory)
      throw new DecodeError(`${data} needs more than ${formatSize(MEMORY_LIMIT)} of memory`);
    if (status === STATUS.unsupported) throw new DecodeError(`${data} uses an option that isn't supported`);
    if (status < 0 || (stuck && status !== STATUS.end)) throw new DecodeError(`${data} is damaged`);
  }

  [Symbol.dispose](): void {
    this.#codecs.endDecoder(this.#decoder);
    this.#codecs.free(this.#input);
    this.#codecs.free(this.#output);
  }
}
