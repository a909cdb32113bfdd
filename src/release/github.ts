import type { Octokit } from '@octokit/rest';
import { messageOf, quote, UsageError } from '../io/errors.ts';
import { explain, hasStatus, type Refusal, readRefusal } from './api-errors.ts';
import { pause } from './pause.ts';

/** An asset as GitHub shows it. Only `uploaded` ones are whole. */
export interface Asset {
  readonly id: number;
  readonly name: string;
  readonly label?: string | null;
  readonly state: string;
  readonly size: number;
  /** `sha256:` and hex; null for assets that are older than digests are. */
  readonly digest?: string | null;
  readonly browser_download_url: string;
}

/** A release as GitHub shows it. */
export interface Release {
  readonly id: number;
  readonly tag_name: string;
  readonly target_commitish: string;
  readonly name: string | null;
  readonly body?: string | null;
  readonly draft: boolean;
  readonly prerelease: boolean;
  readonly html_url: string;
  readonly upload_url: string;
}

/** What can be set of a release. */
export interface ReleaseFields {
  tag_name?: string;
  target_commitish?: string;
  name?: string;
  body?: string;
  draft?: boolean;
  prerelease?: boolean;
  make_latest?: 'true' | 'false' | 'legacy';
}

/** Where to talk to, and how. */
export interface GitHubOptions {
  /** Base URL of the API, as `https://api.github.com`. */
  readonly apiUrl: string;
  /** `owner/name`. */
  readonly repository: string;
  readonly token: string;
  readonly signal?: AbortSignal | undefined;
  readonly debug?: (message: string) => void;
  readonly warn?: (message: string) => void;
  /** Length of a second of waiting in milliseconds; tests shorten it. */
  readonly second?: number;
}

/** A longer wait for a rate limit is a failure, in milliseconds: run again later, the release goes on where it stopped. */
const MAX_RATE_LIMIT_WAIT = 15 * 60_000;
const MAX_LIMIT_RETRIES = 5;
const PAGE_SIZE = 100;

/**
 * The releases of one repository, over the REST API. Failures are a `TransientError` once retrying didn't help, else a
 * `GitHubError`; both say what was tried.
 */
export class GitHub {
  readonly options: GitHubOptions;
  readonly second: number;
  readonly #octokit: Octokit;
  readonly #repo: { readonly owner: string; readonly repo: string };

  private constructor(octokit: Octokit, options: GitHubOptions, owner: string, repo: string) {
    this.#octokit = octokit;
    this.options = options;
    this.second = options.second ?? 1000;
    this.#repo = { owner, repo };
  }

  /** @throws UsageError where repository, token or URL can't be right */
  static async connect(options: GitHubOptions): Promise<GitHub> {
    const [, owner, repo] = /^([A-Za-z0-9_.-]+)\/([A-Za-z0-9_.-]+)$/.exec(options.repository) ?? [];
    if (!owner || !repo) throw new UsageError(`"repository" is ${quote(options.repository)}, but takes OWNER/NAME`);
    if (!URL.canParse(options.apiUrl)) throw new UsageError(`GITHUB_API_URL is ${quote(options.apiUrl)}, not a URL`);
    if (!/^[\x21-\x7e]+$/.test(options.token)) throw new UsageError('"token" holds characters that no token has');
    const { makeOctokit } = await import('./octokit.ts');
    return new GitHub(
      makeOctokit(options, (...args) => waitForLimit(options, ...args)),
      options,
      owner,
      repo,
    );
  }

  async release(id: number): Promise<Release> {
    const { data } = await this.#call(`read the release ${id}`, (github) =>
      github.rest.repos.getRelease({ ...this.#repo, release_id: id }),
    );
    return data;
  }

  /** The published release of a tag; undefined if there is none. */
  async publishedRelease(tag: string): Promise<Release | undefined> {
    const answer = await this.#call(`look for the release of ${tag}`, (github) =>
      github.rest.repos.getReleaseByTag({ ...this.#repo, tag }),
    ).catch(nothingFor404);
    return answer?.data.draft === false ? answer.data : undefined;
  }

  /** All releases; a token that may write sees the drafts among them. */
  async releases(): Promise<Release[]> {
    return this.#call('list the releases', (github) =>
      github.paginate(github.rest.repos.listReleases, { ...this.#repo, per_page: PAGE_SIZE }),
    );
  }

  /** Not retried: an answer that was lost leaves a draft behind, which has to be looked for first. */
  async createRelease(fields: ReleaseFields & { tag_name: string }): Promise<Release> {
    const { data } = await this.#call(`create the release ${fields.tag_name}`, (github) =>
      github.rest.repos.createRelease({ ...this.#repo, ...fields, request: { retries: 0 } }),
    );
    return data;
  }

  async updateRelease(id: number, fields: ReleaseFields, options: { retry?: boolean } = {}): Promise<Release> {
    const request = options.retry === false ? { request: { retries: 0 } } : {};
    const { data } = await this.#call(`update the release ${id}`, (github) =>
      github.rest.repos.updateRelease({ ...this.#repo, ...fields, release_id: id, ...request }),
    );
    return data;
  }

  async deleteRelease(id: number): Promise<void> {
    await this.#call(`delete the draft ${id}`, (github) =>
      github.rest.repos.deleteRelease({ ...this.#repo, release_id: id }),
    ).catch(nothingFor404);
  }

  /** Notes that GitHub makes from the pull requests since the last release, in Markdown. */
  async generatedNotes(tag: string, target: string | undefined): Promise<string> {
    const { data } = await this.#call(`generate notes for ${tag}`, (github) =>
      github.rest.repos.generateReleaseNotes({
        ...this.#repo,
        tag_name: tag,
        ...(target !== undefined && { target_commitish: target }),
      }),
    );
    return data.body;
  }

  async assets(releaseId: number): Promise<Asset[]> {
    return this.#call(`list the assets of the release ${releaseId}`, (github) =>
      github.paginate(github.rest.repos.listReleaseAssets, {
        ...this.#repo,
        release_id: releaseId,
        per_page: PAGE_SIZE,
      }),
    );
  }

  /** Undefined if there is no such asset. */
  async asset(id: number): Promise<Asset | undefined> {
    const answer = await this.#call(`read the asset ${id}`, (github) =>
      github.rest.repos.getReleaseAsset({ ...this.#repo, asset_id: id }),
    ).catch(nothingFor404);
    // Octokit types the answer for the other media type of this endpoint as well.
    return answer?.data as Asset | undefined;
  }

  /** Deleting what is gone already is no failure. */
  async deleteAsset(asset: Pick<Asset, 'id' | 'name'>): Promise<void> {
    await this.#call(`delete the asset ${asset.name}`, (github) =>
      github.rest.repos.deleteReleaseAsset({ ...this.#repo, asset_id: asset.id }),
    ).catch(nothingFor404);
  }

  /** URL of an asset in the API, from which its bytes come with `Accept: application/octet-stream`. */
  assetUrl(id: number): string {
    const { owner, repo } = this.#repo;
    return `${this.options.apiUrl.replace(/\/+$/, '')}/repos/${owner}/${repo}/releases/assets/${id}`;
  }

  async #call<T>(doing: string, work: (octokit: Octokit) => Promise<T>): Promise<T> {
    const { signal, repository } = this.options;
    try {
      signal?.throwIfAborted();
      return await work(this.#octokit);
    } catch (error) {
      signal?.throwIfAborted();
      throw explain(doing, repository, refusalOf(error), error);
    }
  }
}

/** What Octokit threw: an answer with a status, or a network error, which it gives the status 500. */
export function refusalOf(error: unknown): Refusal {
  const { response } = error as { response?: { status: number; headers: Refusal['headers']; data: unknown } };
  if (response) return readRefusal(response.status, response.headers, response.data);
  return { status: 0, headers: {}, codes: [], message: messageOf(error) };
}

/** Waits as a rate limit asks; false if that is too long, or was done too often. */
async function waitForLimit(options: GitHubOptions, wait: number, retries: number): Promise<boolean> {
  if (wait > MAX_RATE_LIMIT_WAIT || retries >= MAX_LIMIT_RETRIES) return false;
  options.warn?.(`GitHub's rate limit is reached: waiting ${Math.ceil(wait / 1000)} s, as it asks`);
  await pause((wait * (options.second ?? 1000)) / 1000, options.signal);
  return true;
}

function nothingFor404(error: unknown): undefined {
  if (hasStatus(error, 404)) return undefined;
  throw error;
}
