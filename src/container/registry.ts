import { isIP } from 'node:net';
import { messageOf, quote } from '../io/errors.ts';
import {
  HttpError,
  type HttpOptions,
  type HttpResponse,
  http,
  speaksNoTls,
  transientNetworkError,
} from '../io/http.ts';
import { type RetryOptions, TransientError, withRetries } from '../io/retry.ts';
import { AuthorizationError, Authorizer } from './authorizer.ts';
import type { Credentials } from './credentials.ts';

const MAX_REDIRECTS = 5;

export interface RegistryOptions {
  readonly host: string;
  readonly repository: string;
  readonly credentials?: Credentials | undefined;
  /** Allow plain http and certificates that can't be verified. */
  readonly insecure?: boolean;
  /** What is going to be done: decides what a token is asked for. */
  readonly actions: 'pull' | 'pull,push';
  readonly onSecret?: (value: string) => void;
  readonly retry?: RetryOptions;
}

export interface RegistryRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  /** Absolute. */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Makes the body anew for each time that it is sent. */
  readonly body?: () => HttpOptions['body'];
  /** Statuses besides 2xx that the caller handles. */
  readonly accept?: readonly number[];
}

/** The registry refuses: no credentials, wrong ones, or not enough rights. */
export class DeniedError extends Error {
  override name = 'DeniedError';
  readonly status: number;

  constructor(message: string, status: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/** One repository of a registry: authorized requests, tried again where that may help. */
export class Registry {
  readonly host: string;
  readonly repository: string;
  readonly origin: string;
  readonly retry: RetryOptions;
  readonly insecure: boolean;
  readonly #options: RegistryOptions;
  readonly #authorizer: Authorizer;

  private constructor(origin: string, options: RegistryOptions) {
    const { host, repository, credentials, insecure = false, actions, onSecret = () => {}, retry = {} } = options;
    this.#options = options;
    this.host = host;
    this.repository = repository;
    this.origin = origin;
    this.retry = retry;
    this.insecure = insecure;
    const scope = `repository:${repository}:${actions}`;
    this.#authorizer = new Authorizer({ origin, credentials, scope, insecure, onSecret, retry });
  }

  /** Finds out whether the registry speaks https, or http where that is allowed. */
  static async connect(options: RegistryOptions): Promise<Registry> {
    const https = new Registry(new URL(`https://${options.host}`).origin, options);
    if (!options.insecure) return https;
    const reachable = await https.#ping().catch((error: unknown) => {
      if (speaksNoTls(error) || (error instanceof TransientError && error.cause !== undefined)) return false;
      options.retry?.signal?.throwIfAborted();
      return true;
    });
    return reachable ? https : new Registry(new URL(`http://${options.host}`).origin, options);
  }

  /** The same repository as it is without credentials, to read. */
  forEverybody(): Registry {
    return new Registry(this.origin, { ...this.#options, credentials: undefined, actions: 'pull' });
  }

  /** The URL of something in this repository, as in `blobs/uploads/`. */
  url(path: string): string {
    return `${this.origin}/v2/${this.repository}/${path}`;
  }

  /** Sends a request until it succeeds, as often as `withRetries` allows. */
  send(request: RegistryRequest): Promise<HttpResponse> {
    return withRetries(() => this.sendOnce(request), this.retry);
  }

  /**
   * Sends a request, authorized if the registry asks for it. A token that expired is replaced once.
   *
   * @throws TransientError, HttpError, or DeniedError for 401 and 403
   */
  async sendOnce(request: RegistryRequest): Promise<HttpResponse> {
    try {
      const first = await this.#dispatch(request);
      if (first.status !== 401) return first;
      await first.body.dump();
      if (new URL(first.url).origin !== this.origin) {
        const place = new URL(first.url).origin;
        throw new DeniedError(
          `${place} answered 401, and it gets no credentials: they are for ${this.origin} only`,
          401,
        );
      }
      await this.#authorizer.answer(first.headers['www-authenticate']);
      const second = await this.#dispatch(request);
      if (second.status !== 401) return second;
      await second.body.dump();
      throw new DeniedError(`${request.method} ${shown(second.url)} answered 401`, 401);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Reads an answer to its end; breaking off is worth another try. */
  async read(response: HttpResponse, limit: number): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of response.body) {
        size += chunk.length;
        if (size > limit) break;
        chunks.push(chunk);
      }
    } catch (error) {
      this.retry.signal?.throwIfAborted();
      throw transientNetworkError(shown(response.url), error);
    }
    if (size > limit) throw new Error(`${shown(response.url)} answered more than ${limit} bytes`);
    return Buffer.concat(chunks);
  }

  async #ping(): Promise<boolean> {
    const { insecure } = this;
    const response = await http(`${this.origin}/v2/`, { insecure, accept: [401, 403, 404], signal: this.retry.signal });
    await response.body.dump();
    return true;
  }

  /** One exchange, redirects included. The body is made anew for each, and credentials stay with the registry. */
  async #dispatch(request: RegistryRequest): Promise<HttpResponse> {
    let { url } = request;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const authorization = this.#authorizer.headerFor(url);
      const response = await http(url, {
        method: request.method,
        headers: { ...request.headers, ...(authorization && { authorization }) },
        ...(request.body && { body: request.body() }),
        accept: [401, ...(request.accept ?? [])],
        redirect: 'manual',
        insecure: this.insecure,
        signal: this.retry.signal,
      });
      const { location } = response.headers;
      if (response.status < 300 || response.status >= 400 || location === undefined) return response;
      await response.body.dump();
      url = this.resolve(location, response.url);
    }
    throw new Error(`${shown(request.url)} leads through more than ${MAX_REDIRECTS} redirects`);
  }

  /**
   * The absolute form of a `Location`.
   *
   * @throws Error where it would leave https without `insecure`
   */
  resolve(location: string, base: string): string {
    if (!URL.canParse(location, base)) throw new Error(`${this.origin} answered the location ${quote(location)}`);
    const url = new URL(location, base);
    // User information would be sent as credentials; a location names none.
    url.username = '';
    url.password = '';
    const allowed = url.protocol === 'https:' || (url.protocol === 'http:' && this.insecure);
    if (!allowed)
      throw new Error(`${this.origin} sends us to ${url.origin}, which is not https: set "insecure" to allow it`);
    return url.href;
  }

  #explain(error: unknown): unknown {
    if (error instanceof TransientError || error instanceof HttpError) error.message = withoutQueries(error.message);
    if (error instanceof HttpError && (error.status === 401 || error.status === 403)) {
      return new DeniedError(this.#denied(error.message), error.status, error);
    }
    if (error instanceof AuthorizationError) return new DeniedError(this.#denied(error.message), error.status, error);
    if (error instanceof DeniedError) return new DeniedError(this.#denied(error.message), error.status, error);
    if (this.insecure || !(error instanceof Error)) return error;
    const message = `${error.message}; set "insecure" for a registry that speaks http`;
    if (speaksNoTls(error)) return new Error(message, { cause: error });
    if (error instanceof TransientError && error.cause !== undefined && isLocal(this.host)) {
      return new TransientError(message, { cause: error, retryAfter: error.retryAfter });
    }
    return error;
  }

  #denied(message: string): string {
    const what = this.#options.actions === 'pull' ? 'read' : 'written';
    return `${this.host}/${this.repository} can't be ${what}: ${message}`;
  }
}

/** Queries of URLs may hold signatures: a message has none. */
function withoutQueries(message: string): string {
  return message.replaceAll(/(https?:\/\/[^\s?]+)\?[^\s]*?(?=:?(?:\s|$))/g, '$1');
}

/** A URL for messages, without its query: it may hold a signature. */
export function shown(url: string): string {
  return url.replace(/\?.*$/s, '');
}

/** The code and message of a registry's error document, as far as there is one. */
export function errorDetail(error: HttpError): string {
  try {
    const [{ code, message }] = JSON.parse(error.body).errors;
    return `${code}${message ? `: ${message}` : ''}`;
  } catch {
    return messageOf(error);
  }
}

function isLocal(host: string): boolean {
  const { hostname } = new URL(`http://${host}`);
  return hostname === 'localhost' || isIP(hostname.replace(/[[\]]/g, '')) !== 0;
}
