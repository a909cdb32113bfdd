import { quote } from '../io/errors.ts';
import { TransientError } from '../io/retry.ts';

/** An answer of GitHub that isn't a success, with the part of it that decisions hang on. */
export interface Refusal {
  readonly status: number;
  /** GitHub's `message`, or what stands in its place. */
  readonly message: string;
  readonly headers: Readonly<Record<string, string | number | undefined>>;
  /** The `code` of every entry of `errors`, as `already_exists`. */
  readonly codes: readonly string[];
}

/** A request that GitHub refused, and won't grant when it is asked again. */
export class GitHubError extends Error {
  override name = 'GitHubError';
  readonly status: number;
  readonly codes: readonly string[];

  constructor(message: string, refusal: Pick<Refusal, 'status' | 'codes'>, cause?: unknown) {
    super(message, { cause });
    this.status = refusal.status;
    this.codes = refusal.codes;
  }
}

/** Whether `error` is GitHub's answer with this status. */
export function hasStatus(error: unknown, status: number): error is GitHubError {
  return error instanceof GitHubError && error.status === status;
}

/**
 * A refusal as an error for people: what failed, what GitHub said, and what to do about it.
 *
 * @param doing what was tried, as `create the release v1.2.3`
 */
export function explain(doing: string, repository: string, refusal: Refusal, cause?: unknown): Error {
  const said = `can't ${doing} in ${repository}: GitHub answered ${refusal.status || 'nothing'}, ${quote(refusal.message)}`;
  const { status } = refusal;
  if (isTransient(status)) return new TransientError(said, { cause, retryAfter: waitAsked(refusal) });
  const advice = adviceFor(refusal);
  return new GitHubError(advice ? `${said}\n${advice}` : said, refusal, cause);
}

/**
 * How long GitHub asks to wait, in milliseconds, where it refuses because of a rate limit (REST API, "Exceeding the rate
 * limit"): `retry-after` in seconds, else `x-ratelimit-reset` where nothing remains, else a minute for the secondary one.
 */
export function rateLimitWait({ status, headers, message }: Refusal): number | undefined {
  if (status !== 403 && status !== 429) return undefined;
  const asked = Number(headers['retry-after']);
  if (headers['retry-after'] !== undefined && Number.isFinite(asked)) return asked * 1000;
  if (String(headers['x-ratelimit-remaining']) === '0') {
    return Math.max(0, Number(headers['x-ratelimit-reset']) * 1000 - Date.now()) + 1000;
  }
  return /secondary rate limit/i.test(message) || status === 429 ? 60_000 : undefined;
}

/** The parts of a refusal's JSON body. */
export function readRefusal(status: number, headers: Refusal['headers'], body: unknown): Refusal {
  const { message, errors } = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const entries = Array.isArray(errors) ? errors : [];
  const codes = entries.map((entry) => String(entry?.code ?? '')).filter((code) => code !== '');
  const details = entries.map((entry) => (typeof entry === 'string' ? entry : JSON.stringify(entry)));
  const text = typeof message === 'string' ? message : typeof body === 'string' ? body : '';
  return { status, headers, codes, message: [text || 'without a reason', ...details].join('; ') };
}

function isTransient(status: number): boolean {
  return status === 0 || status === 408 || status === 429 || status >= 500;
}

function waitAsked({ headers }: Refusal): number | undefined {
  const seconds = Number(headers['retry-after']);
  return headers['retry-after'] !== undefined && Number.isFinite(seconds) ? seconds * 1000 : undefined;
}

function adviceFor({ status, headers, message, codes }: Refusal): string | undefined {
  if (status === 401) return '"token" is not valid: it is mistyped, expired or revoked';
  if (status === 403 && /rate limit/i.test(message)) {
    const reset = Number(headers['x-ratelimit-reset']);
    const when = reset > 0 && reset < 1e11 ? `after ${new Date(reset * 1000).toISOString()}` : 'in some minutes';
    return `that is a rate limit: run again ${when}, and it goes on where it stopped`;
  }
  if (status === 403 && /archived/i.test(message)) return 'the repository is archived and takes no releases';
  if (status === 403) {
    const accepted = headers['x-accepted-github-permissions'];
    const asks = accepted ? ` (GitHub asks for ${quote(String(accepted))})` : '';
    return `the token lacks a permission${asks}; give the job\n    permissions:\n      contents: write`;
  }
  if (status === 404) {
    return 'there is no such thing, or the token may not see it: check "repository" and "release-id", and that the job has\n    permissions:\n      contents: write';
  }
  if (status === 422 && codes.includes('already_exists')) return 'something of this name is there already';
  return undefined;
}
