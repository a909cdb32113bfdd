import { type Dispatcher, EnvHttpProxyAgent, request } from 'undici';
import { hasCode, messageOf, quote } from './errors.ts';
import { TransientError } from './retry.ts';

/** A connection without a byte for this long is dead, in milliseconds. */
export const STALL_TIMEOUT = 30_000;
const MAX_REDIRECTS = 10;
/** How much of an error answer is kept for the message. */
const MAX_ERROR_BODY = 64 * 1024;

export interface HttpOptions {
  method?: Dispatcher.HttpMethod;
  headers?: Record<string, string>;
  body?: Dispatcher.DispatchOptions['body'];
  signal?: AbortSignal | undefined;
  /** `follow` (the default) drops credentials and cookies as soon as the origin changes. */
  redirect?: 'follow' | 'manual';
  /** Accept a certificate that can't be verified. */
  insecure?: boolean;
  /** Statuses that aren't errors besides 2xx (and 3xx with `redirect: manual`). */
  accept?: readonly number[];
  stallTimeout?: number;
}

export interface HttpResponse {
  readonly status: number;
  /** Where the answer came from after redirects; without credentials. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Must be read to its end, or destroyed. Errors while reading it are network errors: see `transientNetworkError`. */
  readonly body: Dispatcher.ResponseData['body'];
}

/** An answer with a status that wasn't accepted and won't change by asking again. */
export class HttpError extends Error {
  override name = 'HttpError';
  readonly status: number;
  readonly headers: HttpResponse['headers'];
  readonly body: string;

  constructor(message: string, status: number, headers: HttpResponse['headers'], body: string) {
    super(message);
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}

const agents = new Map<string, EnvHttpProxyAgent>();
const PROXY_VARIABLES = ['http_proxy', 'HTTP_PROXY', 'https_proxy', 'HTTPS_PROXY'];

/**
 * Proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) are taken from the environment; connections are kept alive. Plain
 * http is forwarded by the proxy as any proxy does; only https needs a tunnel, which many proxies allow to port 443 only.
 */
function agent(stallTimeout: number, insecure: boolean): EnvHttpProxyAgent {
  const key = [stallTimeout, insecure, ...PROXY_VARIABLES.map((name) => process.env[name])].join(' ');
  let found = agents.get(key);
  if (!found) {
    const tls = { timeout: stallTimeout, rejectUnauthorized: !insecure };
    found = new EnvHttpProxyAgent({
      connect: tls,
      requestTls: tls,
      proxyTls: { timeout: stallTimeout },
      proxyTunnel: false,
    });
    agents.set(key, found);
  }
  return found;
}

/**
 * One HTTP request, not retried: run it inside `withRetries`. User information in `url` is sent as Basic auth to that
 * origin only and appears in no message.
 *
 * @throws TransientError for network errors, stalls, 408, 429 and 5xx (with the server's `Retry-After`)
 * @throws HttpError for every other status that isn't accepted
 */
export async function http(url: string, options: HttpOptions = {}): Promise<HttpResponse> {
  let call = firstCall(url, options);
  for (let redirects = 0; ; redirects++) {
    const response = await send(call, options);
    const location = response.headers.location;
    const redirected = [301, 302, 303, 307, 308].includes(response.status) && location !== undefined;
    if (!redirected || options.redirect === 'manual') return checkStatus(response, call.method, options);
    await response.body.dump();
    if (redirects === MAX_REDIRECTS) {
      throw new Error(`${call.target.href} leads through more than ${MAX_REDIRECTS} redirects`);
    }
    call = redirectedCall(call, location, response.status);
  }
}

/** One request on the way through redirects. */
interface Call {
  target: URL;
  method: Dispatcher.HttpMethod;
  headers: Record<string, string>;
  body: HttpOptions['body'];
}

function firstCall(url: string, options: HttpOptions): Call {
  const { target, authorization } = splitCredentials(url);
  const headers = { ...(authorization && { authorization }), ...lowerCaseKeys(options.headers ?? {}) };
  return { target, method: options.method ?? 'GET', headers, body: options.body };
}

/** Where a redirect leads (RFC 9110, 15.4); credentials and cookies stay behind when the origin changes. */
function redirectedCall(call: Call, location: string, status: number): Call {
  if (!URL.canParse(location, call.target.href)) {
    throw new Error(`${call.target.href} redirects to ${quote(location)}, which is not a URL`);
  }
  const { target, authorization } = splitCredentials(new URL(location, call.target).href);
  if (!['http:', 'https:'].includes(target.protocol)) {
    throw new Error(`${call.target.href} redirects to ${quote(target.href)}, which is not http or https`);
  }
  if (call.target.protocol === 'https:' && target.protocol === 'http:') {
    throw new Error(`${call.target.href} redirects to plain http (${target.href}), which is refused`);
  }
  let { headers } = call;
  if (target.origin !== call.target.origin) {
    const { authorization: _secret, cookie: _cookie, ...harmless } = headers;
    headers = authorization ? { ...harmless, authorization } : harmless;
  }
  const toGet = status === 303 && call.method !== 'HEAD';
  return { target, headers, method: toGet ? 'GET' : call.method, body: toGet ? undefined : call.body };
}

/** What OpenSSL says of a server that answers with something else than TLS. */
const NO_TLS = 'ERR_SSL_WRONG_VERSION_NUMBER';
/** Failures of TLS verification and of the proxy's own refusal, which another try doesn't change. */
const PERMANENT_CODE =
  /^(CERT_|ERR_SSL_WRONG_VERSION|ERR_TLS_CERT|ERR_INVALID_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_|UND_ERR_INVALID_ARG)/;
const PERMANENT_MESSAGE = /^Proxy response \((?!408|429|5)\d+\)/;

/** A network error, also one met while reading a body, as the `TransientError` that `withRetries` tries again. */
export function transientNetworkError(url: string, error: unknown): TransientError {
  return new TransientError(networkMessage(url, error), { cause: error });
}

function networkMessage(url: string, error: unknown): string {
  let cause = error instanceof Error && error.cause ? error.cause : error;
  // A name with several addresses fails once per address, in an error without a message of its own.
  if (cause instanceof AggregateError) cause = cause.errors[0];
  if (hasCode(cause, NO_TLS)) return `${withoutCredentials(url)}: the server there does not speak TLS`;
  return `${withoutCredentials(url)}: ${messageOf(cause) || 'the connection was lost'}`;
}

/** Whether a request for https failed because there is no TLS, as with a server for plain http. */
export function speaksNoTls(error: unknown): boolean {
  return error instanceof Error && (hasCode(error, NO_TLS) || speaksNoTls(error.cause));
}

function isPermanent(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  return PERMANENT_CODE.test(code) || PERMANENT_MESSAGE.test(error.message) || isPermanent(error.cause);
}

/** The URL without user name and password. */
export function withoutCredentials(url: string): string {
  return splitCredentials(url).target.href;
}

async function send({ target, method, headers, body }: Call, options: HttpOptions): Promise<HttpResponse> {
  const { signal, stallTimeout = STALL_TIMEOUT, insecure = false } = options;
  try {
    const response = await request(target, {
      method,
      headers,
      body: body ?? null,
      signal: signal ?? null,
      headersTimeout: stallTimeout,
      bodyTimeout: stallTimeout,
      // Else a HEAD ends its connection, and undici then opens a new one for every further request.
      reset: false,
      dispatcher: agent(stallTimeout, insecure),
    });
    const flat = Object.entries(response.headers).map(([name, value]) => [name, [value].flat().join(', ')]);
    return { status: response.statusCode, url: target.href, headers: Object.fromEntries(flat), body: response.body };
  } catch (error) {
    signal?.throwIfAborted();
    if (isPermanent(error)) throw new Error(networkMessage(target.href, error), { cause: error });
    throw transientNetworkError(target.href, error);
  }
}

async function checkStatus(response: HttpResponse, method: string, options: HttpOptions): Promise<HttpResponse> {
  const { status, url, headers } = response;
  const manual = options.redirect === 'manual' && status >= 300 && status < 400;
  if ((status >= 200 && status < 300) || manual || options.accept?.includes(status)) return response;
  const text = await errorBody(response);
  const message = `${method} ${url} answered ${status}${text ? `: ${quote(text)}` : ''}`;
  if (status === 408 || status === 429 || status >= 500) {
    throw new TransientError(message, { retryAfter: retryAfter(headers['retry-after']) });
  }
  throw new HttpError(message, status, headers, text);
}

async function errorBody(response: HttpResponse): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_ERROR_BODY) break;
    }
  } catch {
    // The status alone says enough when the text of an error answer breaks off.
  }
  return Buffer.concat(chunks).toString('utf8').trim();
}

/** `Retry-After` in milliseconds: a number of seconds or an HTTP date (RFC 9110, 10.2.3). */
function retryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const wait = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}

function splitCredentials(url: string): { target: URL; authorization: string | undefined } {
  // The text itself is left out of the message: it may hold a password.
  if (!URL.canParse(url)) throw new Error('a URL is not valid: give it as in https://host/path');
  const target = new URL(url);
  const { username, password } = target;
  if (!username && !password) return { target, authorization: undefined };
  target.username = '';
  target.password = '';
  const pair = `${decoded(username)}:${decoded(password)}`;
  return { target, authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

/** Percent-decoded where that is possible; a lone `%` in a password stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function lowerCaseKeys(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
