import { quote } from '../io/errors.ts';
import { HttpError, type HttpOptions, type HttpResponse } from '../io/http.ts';
import { noProgress, type Progress } from '../io/progress.ts';
import { withRetries } from '../io/retry.ts';
import type { BlobSource } from './blob-source.ts';
import type { Descriptor } from './layer.ts';
import { type Registry, type RegistryRequest, shown } from './registry.ts';

/** ghcr.io takes at most 4 MiB in one request of an upload in chunks. */
const CHUNK = 4 * 1024 * 1024;
/** So often an upload that the registry spoiled is begun again. */
const MAX_SESSIONS = 3;

export type UploadResult = 'uploaded' | 'mounted' | 'present';

export interface UploadOptions {
  /** Repositories of the same registry that may hold the blob already. */
  readonly mountFrom?: readonly string[];
  readonly chunkSize?: number;
  readonly progress?: Progress;
}

/** The upload as it stands can't be continued; another one may work. */
class BrokenUpload extends Error {
  override name = 'BrokenUpload';
}

/**
 * Makes sure that the repository has a blob: skipped where it is there, mounted from a repository that has it (from any,
 * where the registry looks for it), else uploaded, large ones in chunks. An upload that breaks is continued where the
 * registry says, or begun again.
 *
 * Source of the protocol: https://github.com/opencontainers/distribution-spec, "Push"
 *
 * @throws Error where the registry stores something else than it was sent
 */
export async function uploadBlob(
  registry: Registry,
  blob: BlobSource,
  options: UploadOptions = {},
): Promise<UploadResult> {
  for (let session = 1; ; session++) {
    if (await hasBlob(registry, blob.descriptor)) return session === 1 ? 'present' : 'uploaded';
    try {
      // The last try is in one piece: not every registry is good at chunks.
      return await new Upload(registry, blob, options, session === MAX_SESSIONS).run(session === 1);
    } catch (error) {
      if (!(error instanceof BrokenUpload)) throw error;
      if (session === MAX_SESSIONS)
        throw new Error(`${registry.host} broke ${session} uploads: ${error.message}`, { cause: error });
    }
  }
}

/** Whether the repository has the blob, whole. */
export async function hasBlob(registry: Registry, { digest, size }: Descriptor, send = retried): Promise<boolean> {
  const response = await send(registry, { method: 'HEAD', url: registry.url(`blobs/${digest}`), accept: [404] });
  await response.body.dump();
  if (response.status === 404) return false;
  compareDigest(registry, response, digest);
  const length = response.headers['content-length'];
  return length === undefined || Number(length) === size;
}

/** @throws Error where the registry names another digest than ours */
export function compareDigest(registry: Registry, response: HttpResponse, expected: string): void {
  const actual = response.headers['docker-content-digest'];
  if (actual === undefined || actual.toLowerCase() === expected) return;
  throw new Error(
    `${registry.host} answered the digest ${quote(actual)} for ${expected}: its copy is not what was sent`,
  );
}

class Upload {
  readonly #registry: Registry;
  readonly #blob: BlobSource;
  readonly #options: UploadOptions;
  readonly #whole: boolean;
  readonly #progress: Progress;
  #location = '';
  #chunkSize: number;
  /** Bytes that the registry has for sure. */
  #offset = 0;

  constructor(registry: Registry, blob: BlobSource, options: UploadOptions, whole: boolean) {
    this.#registry = registry;
    this.#blob = blob;
    this.#options = options;
    this.#progress = options.progress ?? noProgress;
    this.#chunkSize = options.chunkSize ?? CHUNK;
    this.#whole = whole;
  }

  async run(mayMount: boolean): Promise<UploadResult> {
    if (mayMount && (await this.#mountFromAny())) return 'mounted';
    if (!this.#location) await this.#begin();
    const { size } = this.#blob.descriptor;
    try {
      if (this.#whole || size <= this.#chunkSize) await this.#putWhole(size);
      else await this.#putInChunks(size);
    } catch (error) {
      this.#progress.advance(-this.#offset);
      throw error;
    }
    return 'uploaded';
  }

  /** Tries the repositories that are known; without one the registry may look for the blob itself. */
  async #mountFromAny(): Promise<boolean> {
    for (const from of this.#options.mountFrom ?? []) if (await this.#mount(from)) return true;
    return !this.#location && (await this.#mount());
  }

  /**
   * Asks for the blob of another repository, of any without `from` ("automatic content discovery" in the specification).
   * A registry that won't begins an upload, or refuses; both are fine.
   */
  async #mount(from?: string): Promise<boolean> {
    const { descriptor } = this.#blob;
    const query = new URLSearchParams({ mount: descriptor.digest, ...(from !== undefined && { from }) });
    const url = `${this.#registry.url('blobs/uploads/')}?${query}`;
    try {
      const response = await this.#registry.sendOnce({ method: 'POST', url, headers: { 'content-length': '0' } });
      await response.body.dump();
      if (response.status === 201) return await hasBlob(this.#registry, descriptor);
      this.#take(response);
    } catch {
      this.#registry.retry.signal?.throwIfAborted();
      // Whatever it is, an upload goes without this, or tells it again.
    }
    return false;
  }

  async #begin(send = retried): Promise<void> {
    const response = await send(this.#registry, {
      method: 'POST',
      url: this.#registry.url('blobs/uploads/'),
      headers: { 'content-length': '0' },
    });
    await response.body.dump();
    this.#take(response);
  }

  /** The begin of an upload. */
  #take(response: HttpResponse): void {
    this.#follow(response);
    const minimum = Number(response.headers['oci-chunk-min-length']);
    if (minimum > this.#chunkSize) this.#chunkSize = minimum;
  }

  /** Each answer of an upload says where the next request goes. */
  #follow(response: HttpResponse): void {
    const { location } = response.headers;
    if (location !== undefined) this.#location = this.#registry.resolve(location, response.url);
    if (!this.#location) throw new BrokenUpload('the answer to the begin of an upload has no location');
  }

  /** In one request. What arrived of a broken one can't be told, so that every further try is a new upload. */
  async #putWhole(size: number): Promise<void> {
    await withRetries(async (count) => {
      if (count > 1) {
        if (await hasBlob(this.#registry, this.#blob.descriptor, once)) return;
        await this.#begin(once);
      }
      const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) };
      await this.#finish(await this.#sendBytes('PUT', this.#finalUrl(), headers, 0, size));
    }, this.#registry.retry);
  }

  async #putInChunks(size: number): Promise<void> {
    while (this.#offset < size) await withRetries((count) => this.#putChunk(size, count > 1), this.#registry.retry);
    const headers = { 'content-length': '0' };
    const response = await this.#step(() => this.#registry.send({ method: 'PUT', url: this.#finalUrl(), headers }));
    await this.#finish(response);
  }

  async #putChunk(size: number, again: boolean): Promise<void> {
    if (again) await this.#resume();
    const start = this.#offset;
    const length = Math.min(this.#chunkSize, size - start);
    if (length === 0) return;
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(length),
      'content-range': `${start}-${start + length - 1}`,
    };
    const response = await this.#sendBytes('PATCH', this.#location, headers, start, length);
    await response.body.dump();
    this.#follow(response);
    this.#offset = start + length;
  }

  /** Asks how much of the upload arrived. */
  async #resume(): Promise<void> {
    const response = await this.#step(() => this.#registry.sendOnce({ method: 'GET', url: this.#location }));
    await response.body.dump();
    this.#follow(response);
    const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.range ?? '') ?? [];
    // "0-0" is how registries say that there is nothing.
    const arrived = Number(last ?? 0) === 0 ? 0 : Number(last) + 1;
    if (arrived > this.#blob.descriptor.size)
      throw new BrokenUpload(`the registry has ${arrived} bytes, more than were sent`);
    this.#progress.advance(arrived - this.#offset);
    this.#offset = arrived;
  }

  #finalUrl(): string {
    const separator = this.#location.includes('?') ? '&' : '?';
    return `${this.#location}${separator}digest=${encodeURIComponent(this.#blob.descriptor.digest)}`;
  }

  async #finish(response: HttpResponse): Promise<void> {
    await response.body.dump();
    compareDigest(this.#registry, response, this.#blob.descriptor.digest);
  }

  /** A step of the upload: an answer that says "no" spoils this upload, but not the next. */
  async #step(send: () => Promise<HttpResponse>): Promise<HttpResponse> {
    try {
      return await send();
    } catch (error) {
      if (error instanceof HttpError)
        throw new BrokenUpload(`${shown(this.#location)} answered ${error.status}`, { cause: error });
      throw error;
    }
  }

  /** Sends a part of the blob; progress is taken back if it doesn't arrive. */
  async #sendBytes(
    method: 'PUT' | 'PATCH',
    url: string,
    headers: Record<string, string>,
    offset: number,
    length: number,
  ): Promise<HttpResponse> {
    const { read } = this.#blob;
    const progress = this.#progress;
    let sent = 0;
    const takeBack = () => {
      progress.advance(-sent);
      sent = 0;
    };
    const bytes = async function* () {
      takeBack();
      for await (const chunk of read(offset, length)) {
        sent += chunk.length;
        progress.advance(chunk.length);
        yield chunk;
      }
    };
    const body = () => bytes() as unknown as HttpOptions['body'];
    try {
      return await this.#step(() => this.#registry.sendOnce({ method, url, headers, body }));
    } catch (error) {
      takeBack();
      throw error;
    }
  }
}

type Send = (registry: Registry, request: RegistryRequest) => Promise<HttpResponse>;
const retried: Send = (registry, request) => registry.send(request);
/** For requests inside of something that is tried again as a whole. */
const once: Send = (registry, request) => registry.sendOnce(request);
