import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { listen } from './registry.ts';

/** A registry's program on loopback. */
export class RegistryProcess implements AsyncDisposable {
  readonly host: string;
  readonly #argv: readonly [string, ...string[]];
  #child: ChildProcess | undefined;

  private constructor(port: number, argv: readonly [string, ...string[]]) {
    this.host = `127.0.0.1:${port}`;
    this.#argv = argv;
  }

  /** Debian's `docker-registry`, its data in a folder. */
  static async docker(folder: string): Promise<RegistryProcess> {
    const port = await freePort();
    await mkdir(folder, { recursive: true });
    const config = join(folder, 'config.yml');
    const lines = [
      'version: 0.1',
      'log: {level: error}',
      `storage: {filesystem: {rootdirectory: ${join(folder, 'data')}}}`,
      `http: {addr: 127.0.0.1:${port}}`,
    ];
    await writeFile(config, lines.join('\n'));
    return new RegistryProcess(port, ['docker-registry', 'serve', config]).#started();
  }

  /** The registry of go-containerregistry, which keeps everything in memory. */
  static async goContainerRegistry(): Promise<RegistryProcess> {
    const port = await freePort();
    return new RegistryProcess(port, ['go-containerregistry', '-port', String(port)]).#started();
  }

  /** Starts the process, again after `kill`. */
  async run(): Promise<void> {
    const [program, ...args] = this.#argv;
    this.#child = spawn(program, args, { stdio: 'ignore' });
    for (let tries = 0; tries < 100; tries++) {
      const up = await fetch(`http://${this.host}/v2/`)
        .then((r) => r.ok)
        .catch(() => false);
      if (up) return;
      await new Promise((later) => setTimeout(later, 100));
    }
    throw new Error(`${program} does not start`);
  }

  /** Ends the process as a power cut would. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null) return;
    const ended = new Promise((exit) => child.once('exit', exit));
    child.kill('SIGKILL');
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #started(): Promise<this> {
    await this.run();
    return this;
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  const port = await listen(probe);
  await new Promise((closed) => probe.close(closed));
  return port;
}

export interface TokenFront extends AsyncDisposable {
  readonly host: string;
  /** Paths of all requests to the registry, with their method. */
  readonly requests: string[];
  /** The `Authorization` of every request, the token server's included, behind its path. */
  readonly authorizations: string[];
  /** How many tokens were given out. */
  tokens: number;
}

export interface TokenFrontOptions {
  /** `user:password` that may push. */
  readonly account: string;
  /** Whether everybody may pull. */
  readonly publicPull: boolean;
  /** A token is good for so many requests. */
  readonly uses?: number;
  /** What clients know it as; its own address where nothing else is in between. */
  readonly origin?: string;
}

/** A token server in front of a registry, as ghcr.io has it: 401 with a realm, tokens by Basic auth, or without it to pull. */
export async function tokenFront(upstream: string, options: TokenFrontOptions): Promise<TokenFront> {
  const good = new Map<string, { uses: number; scope: string }>();
  const requests: string[] = [];
  const server = createServer((incoming, response) => {
    const url = new URL(incoming.url ?? '/', `http://${front.host}`);
    front.authorizations.push(`${url.pathname} ${incoming.headers.authorization ?? 'none'}`);
    if (url.pathname === '/token') return giveToken(incoming, response, url);
    requests.push(`${incoming.method} ${url.pathname}`);
    const grant = good.get((incoming.headers.authorization ?? '').replace(/^Bearer /, ''));
    const writes = !['GET', 'HEAD'].includes(incoming.method ?? '');
    if (grant && grant.uses-- > 0 && (!writes || grant.scope.includes('push'))) return forward(incoming, response);
    incoming.resume();
    const realm = `Bearer realm="${options.origin ?? `http://${front.host}`}/token",service="stand-in",scope="repository:user/image:pull"`;
    response.writeHead(401, { 'www-authenticate': realm }).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
  });
  const port = await listen(server);
  const front: TokenFront = {
    host: `127.0.0.1:${port}`,
    requests,
    authorizations: [],
    tokens: 0,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
  return front;

  function giveToken(incoming: IncomingMessage, response: ServerResponse, url: URL): void {
    const known = incoming.headers.authorization === `Basic ${Buffer.from(options.account).toString('base64')}`;
    const anonymous = incoming.headers.authorization === undefined;
    if (!known && !(anonymous && options.publicPull)) {
      return void response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"denied"}]}');
    }
    front.tokens++;
    const token = `token-${front.tokens}`;
    const scope = url.searchParams.getAll('scope').join(' ');
    good.set(token, {
      uses: options.uses ?? Number.POSITIVE_INFINITY,
      scope: known ? scope : scope.replace('push', ''),
    });
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ token }));
  }

  function forward(incoming: IncomingMessage, response: ServerResponse): void {
    const { authorization: _, ...headers } = incoming.headers;
    const onward = request(`http://${upstream}${incoming.url}`, { method: incoming.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    incoming.pipe(onward);
  }
}
