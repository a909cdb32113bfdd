import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Refused, ReleaseStore, type StoredAsset, type StoredRelease } from './github-state.ts';
import { matchOperation, requestViolations, responseViolations } from './openapi.ts';

/** What goes wrong with a request. */
export type Fault =
  /** The connection ends before anything is done; an upload leaves a `starter`. */
  | 'cut'
  /** It is done, but the connection ends before the answer. */
  | 'lost'
  /** It is done, but a gateway answers 502. */
  | '502 after'
  | '502 before'
  /** The bytes of an upload are damaged on the way. */
  | 'damage'
  | '403 permission'
  | '403 secondary'
  | '403 primary'
  | '429';

export interface Step {
  readonly route: string;
  /** How often the route was asked before. */
  readonly count: number;
  readonly query: URLSearchParams;
}

export interface SeenRequest {
  readonly route: string;
  readonly url: string;
  readonly host: string;
  readonly authorization: string | undefined;
}

interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

const REPOSITORY = '/repos/k4all/demo';
const TOKEN = 'ghs_standinsecret0123456789';

/**
 * A stand-in for GitHub's releases on the loopback, with state and faults. Every request and every answer that isn't a
 * fault is checked against GitHub's OpenAPI description; what doesn't fit is in `violations`. Uploads have an origin of
 * their own, as on GitHub.
 */
export class GitHubServer implements AsyncDisposable {
  readonly store = new ReleaseStore();
  readonly requests: SeenRequest[] = [];
  readonly violations: string[] = [];
  readonly token = TOKEN;
  /** Decides what goes wrong. */
  fault: (step: Step) => Fault | undefined = () => undefined;
  /** Lists show what was so many requests for the same list ago. */
  lag = 0;
  /** Entries of a page at most. */
  pageSize = 100;
  generatedNotes = "## What's Changed\n* Something by @someone";
  readonly #api: Server;
  readonly #uploads: Server;
  readonly #counts = new Map<string, number>();
  readonly #history = new Map<string, object[][]>();

  private constructor() {
    this.#api = createServer((request, response) => void this.#serve(request, response));
    this.#uploads = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(): Promise<GitHubServer> {
    const server = new GitHubServer();
    for (const one of [server.#api, server.#uploads]) {
      await new Promise<void>((done) => one.listen(0, '127.0.0.1', done));
    }
    return server;
  }

  get apiUrl(): string {
    return `http://127.0.0.1:${(this.#api.address() as AddressInfo).port}/api/v3`;
  }

  get uploadsUrl(): string {
    return `http://127.0.0.1:${(this.#uploads.address() as AddressInfo).port}/api/uploads`;
  }

  /** Published releases and drafts, in the order of their making. */
  get releases(): StoredRelease[] {
    return [...this.store.releases.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of [this.#api, this.#uploads]) {
      one.closeAllConnections();
      await new Promise((done) => one.close(done));
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // Leaving a body half read takes the socket away from the request.
    const { socket } = request;
    request.on('error', () => {});
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    const path = url.pathname.replace(/^\/api\/(v3|uploads)/, '');
    const operation = matchOperation(request.method ?? 'GET', path);
    const route = operation?.route ?? `${request.method} ${path}`;
    const { authorization } = request.headers;
    this.requests.push({ route, url: url.href, host: url.host, authorization });
    const count = this.#counts.get(route) ?? 0;
    this.#counts.set(route, count + 1);
    const fault = this.fault({ route, count, query: url.searchParams });
    try {
      if (!operation || !path.startsWith(REPOSITORY)) throw new Refused(404, 'Not Found');
      if (!/^(token|Bearer) /.test(authorization ?? '') || !authorization?.endsWith(` ${TOKEN}`)) {
        throw new Refused(401, 'Bad credentials');
      }
      refuse(fault);
      const answer =
        route.endsWith('/assets') && request.method === 'POST'
          ? await this.#upload(request, url, Number(operation.parameters.release_id), fault)
          : await this.#handle(request, url, route, operation.parameters, fault);
      if (fault === 'lost') socket.destroy();
      else if (fault === '502 after') send(response, { status: 502, body: '<html>Bad Gateway</html>' });
      else {
        this.#note(route, responseViolations(route, answer.status, answer.body));
        send(response, withETag(request, answer));
      }
    } catch (error) {
      if (error instanceof CutOff) return void socket.destroy();
      if (!(error instanceof Refused)) throw error;
      request.resume();
      const { status, message, codes, headers } = error;
      send(response, {
        status,
        headers,
        body: {
          message,
          documentation_url: 'https://docs.github.com/rest',
          ...(codes.length > 0 && { errors: codes }),
        },
      });
    }
  }

  async #handle(
    request: IncomingMessage,
    url: URL,
    route: string,
    parameters: Record<string, string>,
    fault: Fault | undefined,
  ): Promise<Answer> {
    const text = await readBody(request);
    const body = text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>);
    this.#note(route, requestViolations(route, url.searchParams, body));
    if (fault === 'cut') throw new CutOff();
    return this.#answer(route, parameters, body ?? {}, url, request);
  }

  #answer(
    route: string,
    parameters: Record<string, string>,
    body: Record<string, unknown>,
    url: URL,
    request: IncomingMessage,
  ): Answer {
    const { store } = this;
    const [method, path = ''] = route.split(' ');
    const kind = `${method} ${path.replace('/repos/{owner}/{repo}/releases', '')}`;
    switch (kind) {
      case 'GET ':
        return this.#page(
          'releases',
          url,
          [...store.releases.values()].map((release) => this.#release(release)).reverse(),
        );
      case 'POST ':
        return { status: 201, body: this.#release(store.create(body)) };
      case 'GET /{release_id}':
        return { status: 200, body: this.#release(store.find(Number(parameters.release_id))) };
      case 'PATCH /{release_id}': {
        const release = store.find(Number(parameters.release_id));
        store.update(release, body);
        return { status: 200, body: this.#release(release) };
      }
      case 'DELETE /{release_id}':
        store.releases.delete(store.find(Number(parameters.release_id)).id);
        return { status: 204 };
      case 'GET /tags/{tag}': {
        const found = this.releases.find((release) => !release.draft && release.tag === parameters.tag);
        if (!found) throw new Refused(404, 'Not Found');
        return { status: 200, body: this.#release(found) };
      }
      case 'POST /generate-notes':
        return { status: 200, body: { name: String(body.tag_name), body: this.generatedNotes } };
      case 'GET /{release_id}/assets': {
        const release = store.find(Number(parameters.release_id));
        return this.#page(
          `assets of ${release.id}`,
          url,
          release.assets.map((asset) => this.#asset(release, asset)),
        );
      }
      case 'GET /assets/{asset_id}': {
        const { release, asset } = store.findAsset(Number(parameters.asset_id));
        if (request.headers.accept === 'application/octet-stream') throw new Refused(404, 'Not Found');
        return { status: 200, body: this.#asset(release, asset) };
      }
      case 'DELETE /assets/{asset_id}':
        store.deleteAsset(Number(parameters.asset_id));
        return { status: 204 };
      default:
        throw new Error(`the stand-in has no ${route}`);
    }
  }

  async #upload(request: IncomingMessage, url: URL, releaseId: number, fault: Fault | undefined): Promise<Answer> {
    const route = 'POST /repos/{owner}/{repo}/releases/{release_id}/assets';
    this.#note(route, requestViolations(route, url.searchParams, undefined));
    const length = Number(request.headers['content-length'] ?? Number.NaN);
    if (!(length > 0)) throw new Refused(400, 'Bad Content-Length');
    if (length >= 2 ** 31) throw new Refused(422, 'Validation Failed', [{ code: 'custom', field: 'size' }]);
    const release = this.store.find(releaseId);
    const query = url.searchParams;
    const asset = this.store.beginAsset(release, query.get('name') ?? '', query.get('label') ?? '');
    const hash = createHash('sha256');
    let size = 0;
    try {
      for await (const chunk of request) {
        size += (chunk as Buffer).length;
        hash.update(chunk as Buffer);
        if (fault === 'cut') throw new CutOff();
      }
    } catch {
      throw new CutOff();
    }
    if (fault === 'damage') hash.update('x');
    this.store.finishAsset(release, asset, size, hash.digest('hex'));
    return { status: 201, body: this.#asset(release, asset) };
  }

  /** One page of a list, as it was `lag` requests ago. */
  #page(name: string, url: URL, current: object[]): Answer {
    const page = Number(url.searchParams.get('page') ?? 1);
    const history = this.#history.get(name) ?? [];
    if (page === 1) history.push(current);
    this.#history.set(name, history);
    const all = history[Math.max(0, history.length - 1 - this.lag)] ?? [];
    const size = Math.min(this.pageSize, Number(url.searchParams.get('per_page') ?? 30));
    const headers: Record<string, string> = {};
    if (page * size < all.length) {
      const next = new URL(url);
      next.searchParams.set('page', String(page + 1));
      headers.link = `<${next.href}>; rel="next"`;
    }
    return { status: 200, headers, body: all.slice((page - 1) * size, page * size) };
  }

  #release(release: StoredRelease): object {
    const url = `${this.apiUrl}${REPOSITORY}/releases/${release.id}`;
    const page = release.draft ? `untagged-${release.id.toString(16).padStart(20, '0')}` : release.tag;
    return {
      url,
      html_url: `https://github.example/k4all/demo/releases/tag/${page}`,
      assets_url: `${url}/assets`,
      upload_url: `${this.uploadsUrl}${REPOSITORY}/releases/${release.id}/assets{?name,label}`,
      tarball_url: null,
      zipball_url: null,
      id: release.id,
      node_id: `RE_${release.id}`,
      tag_name: release.tag,
      target_commitish: release.target,
      name: release.name,
      body: release.body,
      draft: release.draft,
      prerelease: release.prerelease,
      immutable: this.store.immutable && !release.draft,
      created_at: TIME,
      published_at: release.draft ? null : TIME,
      author: USER,
      assets: release.assets.map((asset) => this.#asset(release, asset)),
    };
  }

  #asset(release: StoredRelease, asset: StoredAsset): object {
    return {
      url: `${this.apiUrl}${REPOSITORY}/releases/assets/${asset.id}`,
      browser_download_url: `https://github.example/k4all/demo/releases/download/${release.tag}/${asset.name}`,
      id: asset.id,
      node_id: `RA_${asset.id}`,
      name: asset.name,
      label: asset.label,
      state: asset.state,
      content_type: 'application/octet-stream',
      size: asset.size,
      digest: asset.digest,
      download_count: 0,
      created_at: TIME,
      updated_at: TIME,
      uploader: USER,
    };
  }

  #note(route: string, violations: readonly string[]): void {
    this.violations.push(...violations.map((violation) => `${route}: ${violation}`));
  }
}

class CutOff extends Error {}

const TIME = '2026-11-01T12:00:00Z';
const USER = Object.fromEntries(
  [
    ...[
      'login',
      'node_id',
      'avatar_url',
      'url',
      'html_url',
      'followers_url',
      'following_url',
      'gists_url',
      'starred_url',
    ],
    ...['subscriptions_url', 'organizations_url', 'repos_url', 'events_url', 'received_events_url', 'type'],
  ].map((name) => [name, 'https://github.example/bot'] as const),
) as Record<string, unknown>;
Object.assign(USER, { id: 1, gravatar_id: null, site_admin: false });

function refuse(fault: Fault | undefined): void {
  if (fault === '502 before') throw new Refused(502, 'Server Error');
  if (fault === '403 permission') {
    throw new Refused(403, 'Resource not accessible by integration', [], {
      'x-accepted-github-permissions': 'contents=write',
    });
  }
  if (fault === '403 secondary') {
    throw new Refused(403, 'You have exceeded a secondary rate limit.', [], { 'retry-after': '2' });
  }
  if (fault === '403 primary') {
    const reset = String(Math.ceil(Date.now() / 1000) + 2);
    throw new Refused(403, 'API rate limit exceeded', [], { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': reset });
  }
  if (fault === '429') throw new Refused(429, 'Too many requests', [], { 'retry-after': '1' });
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

function withETag(request: IncomingMessage, answer: Answer): Answer {
  if (request.method !== 'GET' || answer.status !== 200) return answer;
  const etag = `"${createHash('sha256').update(JSON.stringify(answer.body)).digest('hex').slice(0, 32)}"`;
  if (request.headers['if-none-match'] === etag) return { status: 304, headers: { etag } };
  return { ...answer, headers: { ...answer.headers, etag } };
}

function send(response: ServerResponse, { status, body, headers = {} }: Answer): void {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const type = typeof body === 'string' ? 'text/html' : 'application/json; charset=utf-8';
  response.writeHead(status, { ...(text && { 'content-type': type }), ...headers });
  response.end(text);
}
