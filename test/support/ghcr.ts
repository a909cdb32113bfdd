import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { promisify } from 'node:util';
import { type TokenFront, type TokenFrontOptions, tokenFront } from './docker-registry.ts';
import { type FaultyRegistry, faultyRegistry, listen } from './registry.ts';

const NAME = 'ghcr.io';

/** A stand-in for ghcr.io that is reached under its own name, with TLS, by what has `env`. */
export interface Ghcr extends AsyncDisposable {
  /** What is stored. */
  readonly registry: FaultyRegistry;
  /** What was asked, and with which credentials. */
  readonly front: TokenFront;
  /** `HOST:PORT` of every tunnel that was asked for, those that were refused included. */
  readonly tunnels: string[];
  /** A proxy that leads to the stand-in and nowhere else, and the authority that vouches for it. */
  readonly env: Readonly<Record<string, string>>;
}

/** @param folder takes the certificate; needs openssl */
export async function startGhcr(folder: string, options: Omit<TokenFrontOptions, 'origin'>): Promise<Ghcr> {
  const registry = await faultyRegistry();
  const front = await tokenFront(registry.host, { ...options, origin: `https://${NAME}` });
  const { key, cert, path } = await certificate(folder);
  const tls = createTlsServer({ key, cert }, (socket) => splice(socket, front.host));
  const tlsPort = await listen(tls);
  const tunnels: string[] = [];
  const proxy = createHttpServer((_, response) => void response.writeHead(403).end());
  proxy.on('connect', ({ url = '' }, socket: Socket) => {
    tunnels.push(url);
    if (url !== `${NAME}:443`) return void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    splice(socket, `127.0.0.1:${tlsPort}`);
  });
  const proxyPort = await listen(proxy);
  return {
    registry,
    front,
    tunnels,
    env: { HTTPS_PROXY: `http://127.0.0.1:${proxyPort}`, NODE_EXTRA_CA_CERTS: path },
    async [Symbol.asyncDispose]() {
      for (const server of [proxy, tls]) server.close();
      // Ends the connections behind, and with them those in front.
      await front[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

async function certificate(folder: string): Promise<{ key: Buffer; cert: Buffer; path: string }> {
  const [keyPath, path, config] = [join(folder, 'ghcr.key'), join(folder, 'ghcr.pem'), join(folder, 'ghcr.cnf')];
  const lines = ['[req]', 'distinguished_name=dn', 'x509_extensions=v3', '[dn]', '[v3]', `subjectAltName=DNS:${NAME}`];
  await writeFile(config, `${lines.join('\n')}\n`);
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-noenc', '-days', '2'],
    ...['-subj', `/CN=${NAME}`, '-config', config, '-keyout', keyPath, '-out', path],
  ]);
  return { key: await readFile(keyPath), cert: await readFile(path), path };
}

/** Joins a connection to a server on this machine, until one of them ends. */
function splice(socket: Socket, host: string): void {
  const onward = connect(Number(host.split(':')[1]), '127.0.0.1');
  for (const [one, other] of [
    [socket, onward],
    [onward, socket],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
    one.pipe(other);
  }
}
