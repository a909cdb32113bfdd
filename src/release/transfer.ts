import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { type HttpResponse, http, transientNetworkError } from '../io/http.ts';
import { TransientError, withRetries } from '../io/retry.ts';
import { explain, rateLimitWait, readRefusal } from './api-errors.ts';
import { type FileRange, readRange } from './file-range.ts';
import type { Asset, GitHub, GitHubOptions, Release } from './github.ts';

/** GitHub may think for a while over a large asset before it answers, in milliseconds. */
const UPLOAD_STALL_TIMEOUT = 90_000;
/** Statuses whose answer is looked at here. */
const REFUSALS = [400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 501, 502, 503, 504];
const MAX_ANSWER = 4 * 1024 * 1024;

/** The bytes of an asset: a range of a file, or a text in memory. */
export type AssetContent = { readonly range: FileRange } | { readonly text: Buffer };

export interface Upload {
  readonly name: string;
  readonly label?: string | undefined;
  readonly content: AssetContent;
}

/** What was sent, by the side that sent it. */
export interface Sent {
  /** Lower-case hex. */
  readonly sha256: string;
  /** What GitHub made of it. */
  readonly asset: Asset;
}

/**
 * Sends an asset once, hashing the bytes as they go out.
 *
 * @throws GitHubError with the status 422 and `already_exists` if the name is taken, TransientError where a second try
 *   may help; an unfinished asset may be left behind then
 */
export async function uploadOnce(
  github: GitHub,
  release: Release,
  upload: Upload,
  advance: (bytes: number) => void,
): Promise<Sent> {
  const { options } = github;
  const url = uploadUrl(release, upload, options);
  const hash = createHash('sha256');
  const size = 'text' in upload.content ? upload.content.text.length : upload.content.range.size;
  let sent = 0;
  async function* body(): AsyncGenerator<Buffer> {
    const { content } = upload;
    for await (const chunk of 'text' in content ? [content.text] : readRange(content.range, options.signal)) {
      hash.update(chunk);
      yield chunk;
      sent += chunk.length;
      advance(chunk.length);
    }
  }
  try {
    const response = await http(url, {
      method: 'POST',
      headers: { ...apiHeaders(options), 'content-type': 'application/octet-stream', 'content-length': String(size) },
      // undici takes any iterable and asks for a chunk when the one before is sent; a stream would read ahead into the
      // buffer that is still being sent. Only its types know streams alone.
      body: body() as unknown as Readable,
      signal: options.signal,
      redirect: 'manual',
      accept: REFUSALS,
      stallTimeout: UPLOAD_STALL_TIMEOUT,
    });
    const asset = await readAsset(`upload ${upload.name}`, url, response, options);
    return { sha256: hash.digest('hex'), asset };
  } catch (error) {
    advance(-sent);
    throw error;
  }
}

/** SHA-256 of an asset's bytes as GitHub gives them out, in lower-case hex; for assets without a `digest`. */
export async function downloadedSha256(github: GitHub, assets: readonly Asset[]): Promise<string> {
  return withRetries(
    async () => {
      const hash = createHash('sha256');
      for (const asset of assets) for await (const chunk of download(github, asset)) hash.update(chunk);
      return hash.digest('hex');
    },
    { signal: github.options.signal, firstWait: github.second },
  );
}

/** A small asset as text; undefined if it is larger than `limit` bytes. */
export async function downloadedText(github: GitHub, asset: Asset, limit: number): Promise<string | undefined> {
  if (asset.size > limit) return undefined;
  return withRetries(
    async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of download(github, asset)) chunks.push(chunk);
      return Buffer.concat(chunks).toString('utf8');
    },
    { signal: github.options.signal, firstWait: github.second },
  );
}

/** The storage that GitHub redirects to gets no token: `http` drops it where the origin changes. */
async function* download(github: GitHub, asset: Asset): AsyncGenerator<Buffer> {
  const { options } = github;
  const headers = { ...apiHeaders(options), accept: 'application/octet-stream' };
  const { body, url } = await http(github.assetUrl(asset.id), { headers, signal: options.signal });
  try {
    yield* body as AsyncIterable<Buffer>;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw transientNetworkError(url, error);
  }
}

/**
 * The `upload_url` of a release (a URI template) with name and label filled in. The token goes there, because the API
 * named it; only never from https to http.
 */
function uploadUrl(release: Release, upload: Upload, { apiUrl }: GitHubOptions): string {
  const url = new URL(release.upload_url.replace(/\{.*\}$/, ''));
  if (url.protocol !== 'https:' && url.protocol !== new URL(apiUrl).protocol) {
    throw new Error(`the API names ${url.origin} for uploads, which is not https; the token does not go there`);
  }
  url.searchParams.set('name', upload.name);
  if (upload.label) url.searchParams.set('label', upload.label);
  return url.href;
}

function apiHeaders({ token }: GitHubOptions): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    accept: 'application/vnd.github+json',
    'x-github-api-version': '2022-11-28',
    'user-agent': 'k4all-build-iso',
  };
}

async function readAsset(doing: string, url: string, response: HttpResponse, options: GitHubOptions): Promise<Asset> {
  const text = await readText(url, response, options.signal);
  const json = parseJson(text);
  if (response.status === 201 && isAsset(json)) return json;
  const refusal = readRefusal(response.status, response.headers, json ?? text.slice(0, 500));
  const wait = rateLimitWait(refusal);
  if (wait !== undefined) {
    options.warn?.(`GitHub's rate limit is reached: waiting ${Math.ceil(wait / 1000)} s, as it asks`);
    const retryAfter = (wait * (options.second ?? 1000)) / 1000;
    throw new TransientError(explain(doing, options.repository, refusal).message, { retryAfter });
  }
  // A success that isn't an asset: something between us and GitHub answered.
  if (response.status < 400) throw new TransientError(`can't ${doing}: the answer (${response.status}) is no asset`);
  throw explain(doing, options.repository, refusal);
}

/** An answer is a few kilobytes; what is longer is no answer of GitHub. */
async function readText(url: string, response: HttpResponse, signal: AbortSignal | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body) {
      size += (chunk as Buffer).length;
      if (size > MAX_ANSWER) break;
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw transientNetworkError(url, error);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isAsset(value: unknown): value is Asset {
  const asset = value as Partial<Asset> | null | undefined;
  return typeof asset?.id === 'number' && typeof asset.name === 'string' && typeof asset.size === 'number';
}
