import { retry } from '@octokit/plugin-retry';
import { throttling } from '@octokit/plugin-throttling';
import { Octokit } from '@octokit/rest';
import { rateLimitWait } from './api-errors.ts';
import { fetchWithin } from './api-fetch.ts';
import { type GitHubOptions, refusalOf } from './github.ts';

/** Waits `wait` milliseconds after so many retries; false if it shouldn't be tried again. */
type LimitWaiter = (wait: number, retries: number) => Promise<boolean>;

const RETRIES = 3;

/**
 * Octokit with retries for what may go away by itself and with throttling, bound to the API's origin. Its log goes to
 * `debug`; it has methods and paths, never headers.
 */
export function makeOctokit(options: GitHubOptions, waitForLimit: LimitWaiter): Octokit {
  const { apiUrl, token, second = 1000, debug = () => {} } = options;
  const paced = second >= 1000;
  // The plugin awaits its handlers, so that the wait is ours, and an interrupt ends it.
  const onLimit = async (seconds: number, _options: unknown, _octokit: unknown, retries: number) =>
    waitForLimit(seconds * 1000, retries);
  const octokit = new (Octokit.plugin(retry, throttling))({
    auth: token,
    baseUrl: apiUrl.replace(/\/+$/, ''),
    userAgent: 'k4all-build-iso',
    log: { debug, info: debug, warn: debug, error: debug },
    request: { fetch: fetchWithin(new URL(apiUrl).origin), ...(options.signal && { signal: options.signal }) },
    retry: { retries: RETRIES, retryAfterBaseValue: second, doNotRetry: [400, 401, 403, 404, 410, 413, 422, 429, 451] },
    throttle: {
      onRateLimit: onLimit as never,
      onSecondaryRateLimit: onLimit as never,
      retryAfterBaseValue: 0,
      // A write per second is what GitHub asks of clients; tests on the loopback needn't.
      ...(!paced && { write: unpaced as never, notifications: unpaced as never }),
    },
  });
  octokit.hook.wrap('request', async (request, parameters) => {
    // Refusals by a limit that the plugin doesn't know by their text.
    for (let retries = 0; ; retries++) {
      try {
        return await request(parameters);
      } catch (error) {
        const wait = rateLimitWait(refusalOf(error));
        if (wait === undefined || knownToPlugin(error) || !(await waitForLimit(wait, retries))) throw error;
      }
    }
  });
  return octokit;
}

/** The plugin waits itself where nothing remains or the text names the secondary limit. */
function knownToPlugin(error: unknown): boolean {
  const { headers, message } = refusalOf(error);
  return String(headers['x-ratelimit-remaining']) === '0' || /\bsecondary rate\b/i.test(message);
}

const unpaced = { key: () => ({ schedule: async (_options: unknown, work: () => unknown) => work() }) };
