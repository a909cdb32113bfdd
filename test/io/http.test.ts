import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HttpError, http } from '../../src/io/http.ts';
import { MAX_TRIES, TransientError, withRetries } from '../../src/io/retry.ts';
import { FcosServer } from '../support/fcos-server.ts';

let server: FcosServer;

beforeEach(async () => {
  server = await FcosServer.start();
  server.serve('/file', 'hello');
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server[Symbol.asyncDispose]();
});

const text = async (url: string, options = {}) => (await http(url, options)).body.text();

describe('http', () => {
  it('tells statuses apart that may change from those that will not', async () => {
    for (const status of [408, 429, 500, 503]) {
      server.fail('/file', { kind: 'status', status, headers: { 'retry-after': '7' } });
      await expect(http(server.url('/file'))).rejects.toMatchObject({ name: 'TransientError', retryAfter: 7000 });
    }
    server.fail('/file', { kind: 'status', status: 403 });
    const error: unknown = await http(server.url('/file')).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(HttpError);
    expect(error).toMatchObject({ status: 403, body: 'no luck', message: expect.stringContaining('"no luck"') });
  });

  it('takes a server that stays silent for dead', async () => {
    server.serve('/slow', Buffer.alloc(1000));
    server.fail('/slow', { kind: 'stall', after: 10 });
    const { body } = await http(server.url('/slow'), { stallTimeout: 100 });
    await expect(body.text()).rejects.toThrow(/timeout/i);
  });

  it('drops credentials and cookies on the way to another origin, and keeps them on the same', async () => {
    await using other = await FcosServer.start();
    other.serve('/there', 'there');
    server.fail('/file', { kind: 'redirect', to: '/again' });
    server.fail('/again', { kind: 'redirect', to: other.url('/there'), status: 307 });
    const url = server.url('/file').replace('://', '://u:100%@');
    expect(await text(url, { headers: { Cookie: 'a=b', 'X-Kept': 'yes' } })).toBe('there');
    const authorization = `Basic ${Buffer.from('u:100%').toString('base64')}`;
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([authorization, authorization]);
    const [seen] = other.requests;
    expect(seen?.headers).toMatchObject({ 'x-kept': 'yes' });
    expect(seen?.headers).not.toHaveProperty('authorization');
    expect(seen?.headers).not.toHaveProperty('cookie');
  });

  it.each([
    ['file:///etc/passwd', /not http or https/],
    ['http://[', /not a URL/],
  ])('refuses a redirect to %s', async (to, message) => {
    server.fail('/file', { kind: 'redirect', to });
    await expect(http(server.url('/file'))).rejects.toThrow(message);
  });

  it('keeps one or two connections for one request after the other, HEAD included', async () => {
    let connections = 0;
    const counting = createServer((request, response) => {
      request.resume().on('end', () => response.writeHead(202, { 'content-length': '0' }).end());
    }).on('connection', () => connections++);
    await new Promise<void>((ready) => counting.listen(0, '127.0.0.1', ready));
    const url = `http://127.0.0.1:${(counting.address() as AddressInfo).port}/`;
    for (const method of ['HEAD', 'POST', 'PATCH', 'PATCH', 'PATCH', 'HEAD', 'PUT', 'GET'] as const) {
      const { body } = await http(url, { method, ...(method === 'PATCH' && { body: Buffer.alloc(100_000) }) });
      await body.dump();
    }
    expect(connections).toBeLessThanOrEqual(2);
    counting.closeAllConnections();
    await new Promise((closed) => counting.close(closed));
  });

  it('does not try again where a server speaks no TLS, and says so in a line', async () => {
    const error: unknown = await http(server.url('/file').replace('http:', 'https:')).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).not.toBeInstanceOf(TransientError);
    expect(error).toMatchObject({ message: expect.stringMatching(/\/file: the server there does not speak TLS$/) });
  });

  it('names no password in an invalid URL', async () => {
    await expect(http('http://user:s3cret@:x')).rejects.toThrow(/^(?!.*s3cret).*not valid/);
  });

  it('calls a refused connection transient', async () => {
    const url = server.url('/file');
    await server[Symbol.asyncDispose]();
    await expect(http(url)).rejects.toBeInstanceOf(TransientError);
    server = await FcosServer.start();
  });
});

describe('a proxy', () => {
  let proxy: Server;
  let seen: { line: string; authorization: string | undefined }[];

  /** Forwards plain http as RFC 9112, 3.2.2 has it, and tunnels the rest; both with a password only. */
  beforeEach(async () => {
    seen = [];
    proxy = createServer(async (request, response) => {
      seen.push({ line: `${request.method} ${request.url}`, authorization: request.headers['proxy-authorization'] });
      if (!request.headers['proxy-authorization']) return void response.writeHead(407).end();
      const answer = await fetch(request.url ?? '');
      response.writeHead(answer.status).end(Buffer.from(await answer.arrayBuffer()));
    });
    proxy.on('connect', (request, socket) => {
      seen.push({ line: `CONNECT ${request.url}`, authorization: request.headers['proxy-authorization'] });
      const [host, port] = (request.url ?? '').split(':');
      const target = connect(Number(port), host, () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
      target.on('error', () => socket.destroy());
      socket.on('error', () => target.destroy());
      socket.pipe(target).pipe(socket);
    });
    await new Promise<void>((done) => proxy.listen(0, '127.0.0.1', done));
  });
  afterEach(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const proxyUrl = (user: string) => `http://${user}127.0.0.1:${(proxy.address() as AddressInfo).port}`;

  it('forwards plain http', async () => {
    vi.stubEnv('HTTP_PROXY', proxyUrl('me:pw@'));
    expect(await text(server.url('/file'))).toBe('hello');
    expect(seen).toEqual([
      { line: `GET ${server.url('/file')}`, authorization: `Basic ${Buffer.from('me:pw').toString('base64')}` },
    ]);
  });

  it('tunnels https', async () => {
    vi.stubEnv('HTTPS_PROXY', proxyUrl('me:pw@'));
    // What answers behind the tunnel speaks no TLS; that it was asked for is what counts.
    await expect(http(server.url('/file').replace('http:', 'https:'))).rejects.toThrow();
    expect(seen[0]?.line).toBe(`CONNECT ${server.origin.replace('http://', '')}`);
  });

  it('is passed by for what NO_PROXY names', async () => {
    vi.stubEnv('HTTP_PROXY', proxyUrl('me:pw@'));
    vi.stubEnv('NO_PROXY', '127.0.0.1');
    expect(await text(server.url('/file'))).toBe('hello');
    expect(seen).toEqual([]);
  });

  it('that wants a password is an error without one', async () => {
    vi.stubEnv('HTTP_PROXY', proxyUrl(''));
    await expect(http(server.url('/file'))).rejects.toThrow(/407/);
  });
});

describe('retries', () => {
  it('end after five tries, with the last error', async () => {
    let count = 0;
    const failing = withRetries(
      async () => {
        count++;
        throw new TransientError(`try ${count}`);
      },
      { firstWait: 1 },
    );
    await expect(failing).rejects.toThrow('try 5');
    expect(count).toBe(MAX_TRIES);
  });

  it('are for transient errors only', async () => {
    let count = 0;
    const failing = withRetries(async () => {
      count++;
      throw new TypeError('broken');
    });
    await expect(failing).rejects.toThrow('broken');
    expect(count).toBe(1);
  });

  it('wait at most 20 s together, and as long as the server says', async () => {
    const waits: number[] = [];
    const wait = async (milliseconds: number) => void waits.push(milliseconds);
    const failing = withRetries(
      async (count) => {
        throw new TransientError('no', { retryAfter: count === 2 ? 60_000 : undefined });
      },
      { wait, firstWait: 15_000 },
    );
    await expect(failing).rejects.toThrow('no');
    expect(waits).toHaveLength(4);
    expect(waits[1]).toBe(60_000);
    expect((waits[0] ?? 0) + (waits[2] ?? 0) + (waits[3] ?? 0)).toBeLessThanOrEqual(20_000);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0);
  });

  it('stop with the reason when they are interrupted', async () => {
    const controller = new AbortController();
    const failing = withRetries(
      async () => {
        throw new TransientError('no');
      },
      { signal: controller.signal, firstWait: 60_000 },
    );
    setTimeout(() => controller.abort(new Error('stopped by a test')), 20);
    await expect(failing).rejects.toThrow('stopped by a test');
  });
});
