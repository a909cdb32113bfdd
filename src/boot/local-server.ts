import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/**
 * A server that QEMU connects to, so that no port has to be guessed and nothing has to be waited for.
 *
 * @param path of the Unix socket, in a folder that only this user may enter; ignored on Windows
 * @returns the server with what QEMU connects to: the path, or a port of this machine where there are no Unix sockets
 */
export async function listenForQemu(path: string): Promise<{ server: Server; address: string | number }> {
  const server = createServer();
  if (process.platform === 'win32') server.listen(0, '127.0.0.1');
  else server.listen(path);
  await once(server, 'listening');
  const address = server.address();
  return { server, address: typeof address === 'object' && address ? address.port : path };
}
