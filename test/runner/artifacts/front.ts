import { createServer, type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { listen } from '../../support/registry.ts';

/**
 * Stands in front of act's artifact server and mends what act 0.2.87 doesn't take from GitHub's own client: a field
 * `mime_type`, and signatures of upload URLs that have lost the `=` at their end.
 */
export async function artifactFront(port: number): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(async (incoming, response) => {
    const onward = request(mended(incoming, port), (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    onward.end(withoutType(await buffer(incoming)));
  });
  const url = `http://127.0.0.1:${await listen(server)}/`;
  return {
    url,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** The host stays, so that the URLs that act makes lead here too. */
function mended({ method, url = '', headers }: IncomingMessage, port: number) {
  const { 'content-length': _, ...kept } = headers;
  const path = url.replace(
    /\bsig=([\w-]+)(?=&|$)/,
    (_all, sig) => `sig=${sig.padEnd(Math.ceil(sig.length / 4) * 4, '=')}`,
  );
  return { host: '127.0.0.1', port, method, path, headers: kept };
}

function withoutType(body: Buffer): Buffer {
  if (body.at(0) !== '{'.charCodeAt(0)) return body;
  const { mime_type: _, ...fields } = JSON.parse(body.toString());
  return Buffer.from(JSON.stringify(fields));
}
