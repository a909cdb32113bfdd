import type { Server, Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { listenForQemu } from './local-server.ts';

/** How long QEMU may take for one command. */
const COMMAND_TIMEOUT = 10_000;

interface Answer {
  readonly id?: number;
  readonly event?: string;
  readonly error?: { readonly desc?: string };
}

/** The machine protocol (docs/interop/qmp-spec in QEMU). */
export class Monitor {
  /** What QEMU connects to. */
  readonly address: string | number;
  readonly #server: Server;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #onEvent: (name: string) => void;
  #socket: Socket | undefined;
  #lastId = 0;

  private constructor(server: Server, address: string | number, onEvent: (name: string) => void) {
    this.#server = server;
    this.address = address;
    this.#onEvent = onEvent;
    server.on('connection', (socket) => this.#attach(socket));
  }

  /** @param path as `listenForQemu` takes it */
  static async listen(path: string, onEvent: (name: string) => void): Promise<Monitor> {
    const { server, address } = await listenForQemu(path);
    return new Monitor(server, address, onEvent);
  }

  /** @throws Error if QEMU refuses, isn't connected, or doesn't answer in time */
  async execute(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<void> {
    const socket = this.#socket;
    if (!socket) throw new Error(`QEMU is not connected to its monitor, so ${command} isn't possible`);
    const id = ++this.#lastId;
    const answer = await new Promise<Answer>((resolve) => {
      const late = setTimeout(() => resolve({ error: { desc: 'no answer' } }), COMMAND_TIMEOUT);
      this.#waiting.set(id, (message) => {
        clearTimeout(late);
        resolve(message);
      });
      socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
    });
    this.#waiting.delete(id);
    if (answer.error) throw new Error(`QEMU's ${command} failed: ${answer.error.desc ?? 'no reason given'}`);
  }

  close(): void {
    this.#socket?.destroy();
    this.#server.close();
  }

  #attach(socket: Socket): void {
    if (this.#socket) return void socket.destroy();
    this.#socket = socket;
    socket.on('close', () => {
      this.#socket = undefined;
      for (const answered of this.#waiting.values()) answered({ error: { desc: 'QEMU ended' } });
    });
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => this.#receive(line));
    // A QEMU that ends resets the connection; `close` follows. The interface passes the socket's errors on.
    for (const emitter of [socket, lines]) emitter.on('error', () => {});
    // The protocol takes no other command before this one.
    this.execute('qmp_capabilities').catch(() => {});
  }

  #receive(line: string): void {
    let answer: Answer;
    try {
      answer = JSON.parse(line);
    } catch {
      return;
    }
    if (answer.event !== undefined) this.#onEvent(answer.event);
    if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
  }
}
