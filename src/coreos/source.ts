import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { hasCode, quote } from '../io/errors.ts';
import { http, withoutCredentials } from '../io/http.ts';
import { withRetries } from '../io/retry.ts';
import { formatSize, MiB } from '../io/sizes.ts';
import { bodyChunks } from './body.ts';

/** What all requests of a fetch have in common; times are in milliseconds, tests shorten them. */
export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
  readonly stallTimeout?: number;
  readonly firstWait?: number;
  readonly onRetry?: (message: string) => void;
}

/** Metadata and signatures are smaller than this by far. */
const MAX_SMALL_SIZE = 16 * MiB;

/** A URL, or a path relative to `cwd`, as a URL. A single letter before a colon is a Windows drive. */
export function toUrl(text: string, cwd: string): URL {
  if (!/^[a-z][a-z0-9+.-]+:/i.test(text)) return pathToFileURL(resolve(cwd, text));
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ['http:', 'https:', 'file:'].includes(url.protocol)) return url;
  throw new Error(`${url ? quote(withoutCredentials(text)) : 'the URL'} is not an http, https or file URL, nor a path`);
}

/**
 * Where a stream's reference leads: relative ones start from where the stream was found.
 *
 * @param base where the stream was found, after redirects
 * @param owner the URL as the user gave it: its credentials are for all requests to its origin
 * @throws Error for other schemes, and for a local file that a remote stream names
 */
export function resolveReference(reference: string, base: URL, owner: URL): URL {
  if (!URL.canParse(reference, base.href))
    throw new Error(`${shown(base)} names ${quote(reference)}, which is not a URL`);
  const url = new URL(reference, base);
  if (!['http:', 'https:', 'file:'].includes(url.protocol) || (url.protocol === 'file:' && base.protocol !== 'file:')) {
    throw new Error(`${shown(base)} names ${quote(shown(url))}, which can't be fetched from there`);
  }
  if (url.origin === owner.origin && url.protocol !== 'file:' && !url.username && !url.password) {
    url.username = owner.username;
    url.password = owner.password;
  }
  return url;
}

/** A URL for messages and outputs: without credentials. */
export function shown(url: URL): string {
  return withoutCredentials(url.href);
}

/**
 * Reads something small as a whole.
 *
 * @returns the bytes and the URL they came from after redirects
 */
export async function readSmall(url: URL, options: RequestOptions): Promise<{ bytes: Buffer; url: URL }> {
  if (url.protocol === 'file:') return { bytes: await readSmallFile(url, options.signal), url };
  return withRetries(async () => {
    const response = await http(url.href, requestHeaders(options, {}));
    return { bytes: await gather(bodyChunks(response, options.signal), response.url), url: new URL(response.url) };
  }, retryOptions(options));
}

/** The options of `http`: no content coding, because digests are those of the plain bytes. */
export function requestHeaders({ signal, stallTimeout }: RequestOptions, headers: Record<string, string>) {
  return {
    headers: { 'accept-encoding': 'identity', 'user-agent': 'k4all', ...headers },
    ...(signal && { signal }),
    ...(stallTimeout !== undefined && { stallTimeout }),
  };
}

export function retryOptions({ signal, firstWait, onRetry }: RequestOptions) {
  return {
    signal,
    ...(firstWait !== undefined && { firstWait }),
    onRetry: (error: Error, attempt: number, wait: number) =>
      onRetry?.(`${error.message}; try ${attempt + 1} in ${(wait / 1000).toFixed(1)} s`),
  };
}

async function readSmallFile(url: URL, signal: AbortSignal | undefined): Promise<Buffer> {
  const path = fileURLToPath(url);
  await localFileSize(path);
  return gather(createReadStream(path, { signal }), path);
}

async function gather(chunks: AsyncIterable<Buffer>, name: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    size += chunk.length;
    if (size > MAX_SMALL_SIZE) throw new Error(`${name} is larger than ${formatSize(MAX_SMALL_SIZE)}`);
  }
  return Buffer.concat(parts);
}

/** @throws Error naming the path where there is no regular file */
export async function localFileSize(path: string): Promise<number> {
  const found = await stat(path).catch((error: unknown) => {
    throw hasCode(error, 'ENOENT') ? new Error(`${path}: there is no such file`, { cause: error }) : error;
  });
  if (!found.isFile()) throw new Error(`${path} is not a regular file`);
  return found.size;
}
