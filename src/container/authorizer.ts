import { text } from 'node:stream/consumers';
import { quote } from '../io/errors.ts';
import { HttpError, type HttpResponse, http, transientNetworkError } from '../io/http.ts';
import { type RetryOptions, TransientError, withRetries } from '../io/retry.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import type { Credentials } from './credentials.ts';

export interface AuthorizerOptions {
  /** The registry's origin: the only one besides the realm that ever sees credentials. */
  readonly origin: string;
  readonly credentials: Credentials | undefined;
  /** What the tokens are for, as in `repository:owner/name:pull,push`. */
  readonly scope: string;
  readonly insecure: boolean;
  /** Told of every token, so that it is masked in logs. */
  readonly onSecret: (value: string) => void;
  readonly retry: RetryOptions;
}

/** The token endpoint refused, or there was nothing to ask it with. */
export class AuthorizationError extends Error {
  override name = 'AuthorizationError';
  readonly status: number;

  constructor(message: string, status: number, cause?: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

/**
 * Answers a registry's 401: Basic auth, or a bearer token from the realm that the challenge names.
 *
 * Source of the flow: https://distribution.github.io/distribution/spec/auth/token/
 */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  #header: string | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** The `Authorization` for a URL; none unless the registry itself is asked and has told what it wants. */
  headerFor(url: string): string | undefined {
    return new URL(url).origin === this.#options.origin ? this.#header : undefined;
  }

  /**
   * Takes in the registry's 401. Afterwards `headerFor` has something new to try.
   *
   * @throws AuthorizationError where there is nothing to answer with, or the realm refuses
   */
  async answer(header: string | undefined): Promise<void> {
    const challenges = parseChallenges(header ?? '');
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer) {
      this.#header = `Bearer ${await this.#fetchToken(bearer)}`;
      return;
    }
    const { credentials } = this.#options;
    if (!credentials?.password) throw new AuthorizationError(`${this.#options.origin} asks for credentials`, 401);
    if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      throw new AuthorizationError(`${this.#options.origin} asks for ${quote(header ?? 'nothing that is known')}`, 401);
    }
    this.#header = basic(credentials);
  }

  async #fetchToken({ parameters }: Challenge): Promise<string> {
    const realm = this.#realm(parameters.realm);
    const scopes = [...new Set([this.#options.scope, ...(parameters.scope ?? '').split(' ')])].filter(Boolean);
    const { credentials } = this.#options;
    const answer = await withRetries(async () => {
      const response = credentials?.identityToken
        ? await this.#exchange(realm, parameters.service, scopes, credentials.identityToken)
        : await this.#request(realm, parameters.service, scopes);
      return body(response);
    }, this.#options.retry).catch((error: unknown) => {
      if (!(error instanceof HttpError)) throw error;
      throw new AuthorizationError(error.message, error.status, error);
    });
    const token = tokenIn(answer);
    if (!token) throw new Error(`${realm.origin} answered the request for a token with something else`);
    this.#options.onSecret(token);
    return token;
  }

  #realm(value: string | undefined): URL {
    if (value === undefined || !URL.canParse(value)) {
      throw new Error(`${this.#options.origin} names no place to get a token from: its realm is ${quote(value ?? '')}`);
    }
    const realm = new URL(value);
    // Whatever the challenge says about a user is not ours.
    realm.username = '';
    realm.password = '';
    if (realm.protocol === 'https:' || (realm.protocol === 'http:' && this.#options.insecure)) return realm;
    throw new Error(
      `${this.#options.origin} names ${realm.origin} to get a token from, which is not https: set "insecure" to allow it`,
    );
  }

  async #request(realm: URL, service: string | undefined, scopes: readonly string[]): Promise<HttpResponse> {
    const url = new URL(realm);
    if (service) url.searchParams.set('service', service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    const { credentials, insecure, retry } = this.#options;
    const headers = credentials ? { authorization: basic(credentials) } : {};
    return http(url.href, { headers, insecure, signal: retry.signal });
  }

  /** OAuth2 with a refresh token; its body is secret, so it follows no redirect. */
  async #exchange(
    realm: URL,
    service: string | undefined,
    scopes: readonly string[],
    refreshToken: string,
  ): Promise<HttpResponse> {
    const { insecure, retry } = this.#options;
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      client_id: 'k4all',
      refresh_token: refreshToken,
      scope: scopes.join(' '),
      ...(service && { service }),
    });
    const response = await http(realm.href, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: form.toString(),
      redirect: 'manual',
      insecure,
      signal: retry.signal,
    });
    if (response.status < 300) return response;
    await response.body.dump();
    throw new Error(`${realm.origin} redirects the request for a token, which is refused: it holds a secret`);
  }
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

async function body(response: HttpResponse): Promise<string> {
  return text(response.body).catch((error: unknown) => {
    throw error instanceof TransientError ? error : transientNetworkError(response.url, error);
  });
}

function tokenIn(answer: string): string | undefined {
  try {
    const { token, access_token: accessToken } = JSON.parse(answer) ?? {};
    return [token, accessToken].find((value) => typeof value === 'string' && /^[\x21-\x7e]+$/.test(value));
  } catch {
    return undefined;
  }
}
