import { EnvHttpProxyAgent, fetch, type RequestInit, type Response } from 'undici';
import { quote } from '../io/errors.ts';
import { STALL_TIMEOUT } from '../io/http.ts';

const MAX_REDIRECTS = 5;

/**
 * A `fetch` that talks to one origin only, so that the token that its requests carry can't leave it: not by a `Link`
 * header, not by a redirect. Proxies are taken from the environment.
 */
export function fetchWithin(origin: string): (url: string, init?: RequestInit) => Promise<Response> {
  const dispatcher = new EnvHttpProxyAgent({
    headersTimeout: STALL_TIMEOUT,
    bodyTimeout: STALL_TIMEOUT,
    connect: { timeout: STALL_TIMEOUT },
  });
  return async (url, init = {}) => {
    let target = new URL(url);
    for (let redirects = 0; ; redirects++) {
      if (target.origin !== origin) throw new OriginError(target.origin, origin);
      const response = await fetch(target, { ...init, dispatcher, redirect: 'manual' });
      const location = response.headers.get('location');
      const redirected = response.status >= 300 && response.status < 400 && location !== null;
      if (!redirected || redirects === MAX_REDIRECTS) return response;
      await response.body?.cancel();
      // A renamed repository answers so; method and body stay as they are.
      target = new URL(location, target);
    }
  };
}

/** The API led to another server than its own, to which no token goes. */
class OriginError extends Error {
  override name = 'OriginError';

  constructor(found: string, expected: string) {
    super(`the API at ${expected} leads to ${quote(found)}, to which the token does not go`);
  }
}
