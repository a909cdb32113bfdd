import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What goes wrong with one request. Offsets are in the whole file. */
export type Fault =
  /** The connection is cut when so many bytes of the answer are out. */
  | { readonly kind: 'cut'; readonly after: number }
  /** Nothing more comes after so many bytes, and the connection stays open. */
  | { readonly kind: 'stall'; readonly after: number }
  | { readonly kind: 'status'; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | { readonly kind: 'redirect'; readonly to: string; readonly status?: number }
  /** The head promises another length than the body has. */
  | { readonly kind: 'length'; readonly by: number }
  /** The file changes, with its entity tag, before the request is answered. */
  | { readonly kind: 'change'; readonly body: Buffer };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  /** Bytes of the body that were written for it. */
  served: number;
}

interface Served {
  body: Buffer;
  readonly ranges: boolean;
  readonly validator: 'etag' | 'date' | 'none';
}

const LAST_MODIFIED = 'Wed, 08 Jul 2026 10:00:00 GMT';

/** A stand-in for the servers of Fedora on loopback: files by path, faults by path, and a log of all requests. */
export class FcosServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #files = new Map<string, Served>();
  readonly #faults = new Map<string, Fault[]>();
  readonly #repeated = new Map<string, Fault>();

  private constructor() {
    this.#server = createServer((request, response) => this.#answer(request, response));
  }

  static async start(host = '127.0.0.1'): Promise<FcosServer> {
    const server = new FcosServer();
    await new Promise<void>((done) => server.#server.listen(0, host, done));
    return server;
  }

  get origin(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}`;
  }

  url(path: string): string {
    return `${this.origin}${path}`;
  }

  serve(path: string, body: Buffer | string, options: Partial<Pick<Served, 'ranges' | 'validator'>> = {}): void {
    const { ranges = true, validator = 'etag' } = options;
    this.#files.set(path, { body: Buffer.from(body), ranges, validator });
  }

  /** The next requests for a path meet these, one each. */
  fail(path: string, ...faults: Fault[]): void {
    this.#faults.set(path, [...(this.#faults.get(path) ?? []), ...faults]);
  }

  /** Every request for a path meets this. */
  failAlways(path: string, fault: Fault): void {
    this.#repeated.set(path, fault);
  }

  requestsFor(path: string): SeenRequest[] {
    return this.requests.filter((request) => request.path === path);
  }

  /** Bytes of bodies that were written for a path. */
  bytesServed(path: string): number {
    return this.requestsFor(path).reduce((sum, { served }) => sum + served, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url ?? '/', this.origin).pathname;
    const seen: SeenRequest = { method: request.method ?? '', path, headers: request.headers, served: 0 };
    this.requests.push(seen);
    const fault = this.#faults.get(path)?.shift() ?? this.#repeated.get(path);
    const file = this.#files.get(path);
    if (fault?.kind === 'status') return void response.writeHead(fault.status, fault.headers).end('no luck\n');
    if (fault?.kind === 'redirect') return void response.writeHead(fault.status ?? 302, { location: fault.to }).end();
    if (!file) return void response.writeHead(404).end('not here\n');
    if (fault?.kind === 'change') file.body = fault.body;
    void this.#send(file, fault, seen, response);
  }

  async #send(file: Served, fault: Fault | undefined, seen: SeenRequest, response: ServerResponse): Promise<void> {
    const { body } = file;
    const validators = validatorsOf(file);
    const start = rangeStart(seen, file, validators);
    const promised = body.length - (start ?? 0) + (fault?.kind === 'length' ? fault.by : 0);
    response.writeHead(start === undefined ? 200 : 206, {
      'content-length': promised,
      ...validators,
      ...(start !== undefined && { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` }),
    });
    const broken = fault?.kind === 'cut' || fault?.kind === 'stall';
    const end = broken ? Math.min(body.length, Math.max(start ?? 0, fault.after)) : body.length;
    const bytes = body.subarray(start ?? 0, end);
    seen.served = bytes.length;
    await new Promise<void>((done) => response.write(bytes, () => done()));
    if (fault?.kind === 'stall') return;
    if (fault) response.destroy();
    else response.end();
  }
}

function validatorsOf({ validator, body }: Served): Record<string, string> {
  if (validator === 'none') return {};
  if (validator === 'date') return { 'last-modified': LAST_MODIFIED };
  return { etag: `"${createHash('md5').update(body).digest('hex')}"` };
}

/** Where a range request starts, if it is answered with a part (RFC 9110, 13.1.5 and 14.2). */
function rangeStart({ headers }: SeenRequest, file: Served, validators: Record<string, string>): number | undefined {
  const [, start] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? [];
  if (!file.ranges || start === undefined) return undefined;
  const condition = headers['if-range'];
  if (condition !== undefined && !Object.values(validators).includes(String(condition))) return undefined;
  return Number(start);
}
