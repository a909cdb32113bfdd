import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Server } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** A request as a stand-in saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Path without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

/** What a fault answers in the registry's place; `drop` breaks the connection. Undefined lets the request through. */
export type Fault = (request: SeenRequest, count: number) => Answer | 'drop' | undefined;

export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
}

export interface StandIn extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  readonly host: string;
  readonly requests: SeenRequest[];
}

/** An HTTP server on loopback that keeps every request. */
export async function standIn(
  answer: (request: SeenRequest) => Answer | 'drop' | Promise<Answer | 'drop'>,
): Promise<StandIn> {
  const requests: SeenRequest[] = [];
  const handle = async (incoming: IncomingMessage, response: ServerResponse) => {
    const url = new URL(incoming.url ?? '/', 'http://stand-in');
    const seen: SeenRequest = {
      method: incoming.method ?? '',
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers as Record<string, string | undefined>,
      body: await buffer(incoming),
    };
    requests.push(seen);
    const result = await answer(seen);
    if (result === 'drop') return void incoming.socket.destroy();
    response.writeHead(result.status, result.headers);
    response.end(seen.method === 'HEAD' ? undefined : result.body);
  };
  const server = createServer((incoming, response) => void handle(incoming, response).catch(() => response.destroy()));
  const port = await listen(server);
  return {
    host: `127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

export async function listen(server: Server): Promise<number> {
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  return (server.address() as AddressInfo).port;
}

export interface FaultyRegistry extends StandIn {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, Buffer>;
  /** What other repositories hold, by their name; it can be mounted. */
  readonly others: Map<string, ReadonlyMap<string, Buffer>>;
  /** Whether it looks for a blob itself where a mount names no repository. */
  discovers: boolean;
  /** Looked at before each request. */
  fault: Fault | undefined;
  /** Put before the path of upload locations: the origin of another host, for redirected uploads. */
  uploadOrigin: string;
}

/** A small registry in memory, as the OCI distribution specification has it, with faults on demand. */
export async function faultyRegistry(): Promise<FaultyRegistry> {
  const blobs = new Map<string, Buffer>();
  const manifests = new Map<string, Buffer>();
  const uploads = new Map<string, Buffer>();
  const counts = new Map<string, number>();
  const registry = await standIn((request) => {
    const key = `${request.method} ${request.path.replace(/[0-9a-f-]{36}$/, 'ID')}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return self.fault?.(request, counts.get(key) ?? 0) ?? respond(request);
  });
  const others = new Map<string, ReadonlyMap<string, Buffer>>();
  const settings = { discovers: false, fault: undefined, uploadOrigin: '' };
  const self: FaultyRegistry = Object.assign(registry, { blobs, manifests, others, ...settings });
  return self;

  function respond(request: SeenRequest): Answer {
    const { method, path } = request;
    const [, kind = '', name = ''] = /^\/v2\/.+?\/(blobs\/uploads|blobs|manifests)\/(.*)$/.exec(path) ?? [];
    if (path === '/v2/') return { status: 200 };
    if (kind === 'blobs/uploads') return name ? upload(request, name) : begin(request);
    const store = kind === 'blobs' ? blobs : manifests;
    if (method === 'PUT') {
      manifests.set(name, request.body);
      manifests.set(digestOf(request.body), request.body);
      return { status: 201, headers: { 'docker-content-digest': digestOf(request.body) } };
    }
    const found = store.get(name);
    if (!found) return { status: 404 };
    const headers = { 'docker-content-digest': digestOf(found), 'content-length': String(found.length) };
    return { status: 200, headers, body: found };
  }

  function begin({ query, path }: SeenRequest): Answer {
    const mount = query.get('mount') ?? '';
    const from = query.get('from');
    const searched = from === null && self.discovers ? [...others.values()] : [others.get(from ?? '')];
    const found = searched.map((other) => other?.get(mount)).find(Boolean);
    if (found) {
      blobs.set(mount, found);
      return { status: 201, headers: { 'docker-content-digest': mount } };
    }
    const id = randomUUID();
    uploads.set(id, Buffer.alloc(0));
    return { status: 202, headers: { location: `${self.uploadOrigin}${path}${id}?state=signed` } };
  }

  function upload({ method, path, query, headers, body }: SeenRequest, id: string): Answer {
    const stored = uploads.get(id);
    if (!stored) return { status: 404 };
    const location = `${self.uploadOrigin}${path}?state=signed`;
    const range = (length: number) => `0-${Math.max(0, length - 1)}`;
    if (method === 'GET') return { status: 204, headers: { location, range: range(stored.length) } };
    const start = /^(\d+)-/.exec(headers['content-range'] ?? '')?.[1];
    if (start !== undefined && Number(start) !== stored.length) return { status: 416, headers: { location } };
    const whole = Buffer.concat([stored, body]);
    uploads.set(id, whole);
    if (method === 'PATCH') return { status: 202, headers: { location, range: range(whole.length) } };
    const digest = query.get('digest') ?? '';
    if (digestOf(whole) !== digest) return { status: 400, body: '{"errors":[{"code":"DIGEST_INVALID"}]}' };
    blobs.set(digest, whole);
    return { status: 201, headers: { 'docker-content-digest': digest } };
  }
}

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
