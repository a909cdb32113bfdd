import { createReadStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type HttpResponse, http } from '../io/http.ts';
import type { Progress } from '../io/progress.ts';
import { TransientError, withRetries } from '../io/retry.ts';
import { MiB } from '../io/sizes.ts';
import { bodyChunks } from './body.ts';
import { localFileSize, type RequestOptions, requestHeaders, retryOptions, shown } from './source.ts';

/** Where a download goes. */
export interface ByteSink {
  /** Told before the first byte when the size is known; may throw. */
  expect(size: number): Promise<void>;
  write(chunk: Buffer): Promise<void>;
  /** Forgets everything written so far, because the server starts from the beginning again. */
  restart(): Promise<void>;
}

/**
 * Brings a file into a sink. A broken connection is resumed where it broke, if the server proves by `If-Range` that the
 * file is still the same; otherwise it starts again.
 *
 * @returns the number of bytes
 * @throws Error when five tries didn't do; the sink then holds an unusable part
 */
export async function download(url: URL, sink: ByteSink, progress: Progress, options: RequestOptions): Promise<number> {
  if (url.protocol === 'file:') return copyLocal(fileURLToPath(url), sink, progress, options.signal);
  const transfer = new Transfer(url, sink, progress, options);
  await withRetries(() => transfer.attempt(), retryOptions(options));
  return transfer.done;
}

async function copyLocal(
  path: string,
  sink: ByteSink,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<number> {
  const size = await localFileSize(path);
  progress.total(size);
  await sink.expect(size);
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: MiB, signal })) {
    await sink.write(chunk as Buffer);
    done += (chunk as Buffer).length;
    progress.advance((chunk as Buffer).length);
  }
  return done;
}

/** One file on its way, over as many requests as it takes. */
class Transfer {
  done = 0;
  readonly #url: URL;
  readonly #sink: ByteSink;
  readonly #progress: Progress;
  readonly #options: RequestOptions;
  /** What `If-Range` takes: a strong entity tag, else the date of the last change (RFC 9110, 13.1.5). */
  #validator: string | undefined;
  #total: number | undefined;

  constructor(url: URL, sink: ByteSink, progress: Progress, options: RequestOptions) {
    this.#url = url;
    this.#sink = sink;
    this.#progress = progress;
    this.#options = options;
  }

  async attempt(): Promise<void> {
    const resume = this.done > 0 && this.#validator !== undefined;
    const range: Record<string, string> = resume
      ? { range: `bytes=${this.done}-`, 'if-range': this.#validator ?? '' }
      : {};
    const response = await http(this.#url.href, { ...requestHeaders(this.#options, range), accept: [416] });
    try {
      await this.#receive(response, resume);
    } finally {
      response.body.destroy();
    }
  }

  async #receive(response: HttpResponse, resume: boolean): Promise<void> {
    const chunks = bodyChunks(response, this.#options.signal);
    if (!(await this.#begin(response, resume))) {
      await this.#startOver();
      throw new TransientError(`${shown(this.#url)} changed while it was downloaded`);
    }
    for await (const chunk of chunks) {
      await this.#sink.write(chunk);
      this.done += chunk.length;
      this.#progress.advance(chunk.length);
    }
    if (this.#total !== undefined && this.done !== this.#total) {
      throw new TransientError(`${response.url} ended after ${this.done} of ${this.#total} bytes`);
    }
  }

  /** Looks at the answer's head. False if what it brings doesn't continue what is there. */
  async #begin(response: HttpResponse, resume: boolean): Promise<boolean> {
    const { status, headers } = response;
    if (resume && status === 206) return this.#continues(headers);
    if (status === 416 || status === 206) return false;
    await this.#startOver();
    this.#validator = validatorOf(headers);
    const length = headers['content-length'];
    this.#total = length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined;
    if (this.#total !== undefined) {
      this.#progress.total(this.#total);
      await this.#sink.expect(this.#total);
    }
    return true;
  }

  /** Whether a partial answer starts where the file ends so far, and is of the same file (RFC 9110, 14.4). */
  #continues(headers: HttpResponse['headers']): boolean {
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
    const sameTotal = total === '*' || this.#total === undefined || Number(total) === this.#total;
    const validator = validatorOf(headers);
    return Number(start) === this.done && sameTotal && (validator === undefined || validator === this.#validator);
  }

  async #startOver(): Promise<void> {
    if (this.done === 0) return;
    this.#progress.advance(-this.done);
    this.done = 0;
    await this.#sink.restart();
  }
}

function validatorOf(headers: HttpResponse['headers']): string | undefined {
  const { etag } = headers;
  return etag?.startsWith('"') ? etag : headers['last-modified'];
}
