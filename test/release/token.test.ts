import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { GitHub } from '../../src/release/github.ts';

const TOKEN = 'ghs_secret0123456789';
const servers: Server[] = [];

async function listen(handler: RequestListener): Promise<{ url: string; seen: string[] }> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization ?? 'no token'}`);
    handler(request, response);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});

const connect = (apiUrl: string) => GitHub.connect({ apiUrl, repository: 'k4all/demo', token: TOKEN, second: 1 });
const json = { 'content-type': 'application/json' };

describe('the token', () => {
  it('does not follow a link of a list to another origin', async () => {
    const other = await listen((_request, response) => response.end('[]'));
    const api = await listen((_request, response) => {
      response.writeHead(200, { ...json, link: `<${other.url}/page2>; rel="next"` }).end('[]');
    });
    await expect((await connect(api.url)).releases()).rejects.toThrow(/to which the token does not go/);
    expect(other.seen).toEqual([]);
  });

  it('does not follow a redirect to another origin, but one within the API', async () => {
    const other = await listen((_request, response) => response.writeHead(200, json).end('[]'));
    const api = await listen((request, response) => {
      if (request.url?.startsWith('/repositories/1')) return void response.writeHead(200, json).end('[]');
      response.writeHead(301, { location: '/repositories/1/releases' }).end();
    });
    expect(await (await connect(api.url)).releases()).toEqual([]);
    const away = await listen((_request, response) => {
      response.writeHead(302, { location: `${other.url}/releases` }).end();
    });
    await expect((await connect(away.url)).releases()).rejects.toThrow(/to which the token does not go/);
    expect(other.seen).toEqual([]);
  });

  it('stays behind where an asset comes from a storage', async () => {
    const { downloadedSha256 } = await import('../../src/release/transfer.ts');
    const storage = await listen((_request, response) => response.end('abc'));
    const api = await listen((_request, response) => {
      response.writeHead(302, { location: `${storage.url}/blob` }).end();
    });
    const asset = { id: 7, name: 'a', state: 'uploaded', size: 3, browser_download_url: '' };
    const digest = await downloadedSha256(await connect(api.url), [asset]);
    expect(digest).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(api.seen).toEqual([`GET /repos/k4all/demo/releases/assets/7 Bearer ${TOKEN}`]);
    expect(storage.seen).toEqual(['GET /blob no token']);
  });

  it.each([
    ['k4all', /"repository" is "k4all"/],
    ['a/b/c', /OWNER\/NAME/],
    ['a/b?x', /OWNER\/NAME/],
  ])('is not sent for the repository %s', async (repository, message) => {
    await expect(GitHub.connect({ apiUrl: 'http://127.0.0.1:1', repository, token: TOKEN })).rejects.toThrow(message);
  });
});
