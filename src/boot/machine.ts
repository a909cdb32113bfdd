import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { Environment } from './find-program.ts';
import { listenForQemu } from './local-server.ts';
import { Monitor } from './monitor.ts';
import { type MachineDescription, qemuArguments } from './qemu-arguments.ts';
import { ppmToPng } from './screenshot.ts';

/** QEMU is asked to quit, and killed if it hasn't after this many milliseconds. */
const QUIT_TIMEOUT = 5_000;
const STDERR_LIMIT = 4096;
/** Milliseconds after which a message that was written before is here. */
const MESSAGE_DELAY = 100;

type QemuProcess = ChildProcessByStdio<null, Readable, Readable>;

/** How a machine came to its end by itself. */
export interface MachineEnd {
  /** `stop`: QEMU can't go on with the guest and has stopped it, as for an internal error of KVM. */
  readonly how: 'power-off' | 'exit' | 'stop';
  /** For `exit`: QEMU's exit code or signal with its last message. For `stop`: what QEMU said. */
  readonly detail: string;
}

/** A running QEMU with its console, monitor and temporary folder. Leaving its scope ends it. */
export class Machine implements AsyncDisposable {
  /** Settles when the guest powers off or QEMU ends. */
  readonly ended: Promise<MachineEnd>;
  readonly #folder: string;
  readonly #monitor: Monitor;
  readonly #bios: Server;
  readonly #process: QemuProcess;
  /** Settles when QEMU has ended and its console is read to the last byte. */
  readonly #closed: Promise<void>;

  private constructor(folder: string, monitor: Monitor, bios: Server, qemu: QemuProcess, ended: Promise<MachineEnd>) {
    this.#folder = folder;
    this.#monitor = monitor;
    this.#bios = bios;
    this.#process = qemu;
    this.ended = ended;
    this.#closed = new Promise((resolve) => {
      qemu.once('close', () => resolve());
      qemu.once('error', () => resolve());
    });
  }

  /**
   * @param onConsole gets the bytes of the serial console as they come
   * @param onBios gets what a BIOS tells a debugger
   */
  static async start(options: {
    qemu: string;
    machine: Omit<MachineDescription, 'monitor' | 'biosLog'>;
    env: Environment;
    onConsole: (bytes: Buffer) => void;
    onBios: (bytes: Buffer) => void;
  }): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), 'k4all-boot-'));
    const end = Promise.withResolvers<MachineEnd>();
    let stderr = '';
    const monitor = await Monitor.listen(join(folder, 'monitor'), (event) => {
      if (event === 'SHUTDOWN') end.resolve({ how: 'power-off', detail: '' });
      // After a power-off this event follows the other one. What QEMU said comes on another channel.
      const stop = () => end.resolve({ how: 'stop', detail: /^.*internal error.*$/im.exec(stderr)?.[0] ?? '' });
      if (event === 'STOP') setTimeout(stop, MESSAGE_DELAY);
    });
    const bios = await listenForQemu(join(folder, 'bios'));
    bios.server.once('connection', (socket) => {
      socket.on('data', options.onBios).on('error', () => {});
      bios.server.close();
    });
    const args = qemuArguments({ ...options.machine, monitor: monitor.address, biosLog: bios.address });
    const qemu = spawn(options.qemu, args, { stdio: ['ignore', 'pipe', 'pipe'], env: options.env });
    qemu.stdout.on('data', options.onConsole);
    qemu.stderr.setEncoding('utf8').on('data', (text) => {
      stderr = (stderr + text).slice(-STDERR_LIMIT);
    });
    qemu.once('error', (error) => end.resolve({ how: 'exit', detail: error.message }));
    qemu.once('close', (code, signal) => {
      const message = stderr.trim();
      end.resolve({ how: 'exit', detail: `${signal ?? `exit code ${code}`}${message ? `: ${message}` : ''}` });
    });
    return new Machine(folder, monitor, bios.server, qemu, end.promise);
  }

  /** The screen as a PNG. @throws Error if QEMU can't give it any more */
  async screenshot(): Promise<Buffer> {
    const file = join(this.#folder, 'screen.ppm');
    await this.#monitor.execute('screendump', { filename: file });
    return ppmToPng(await readFile(file));
  }

  /** Ends QEMU and waits until all of its console has been read. */
  async stop(): Promise<void> {
    const kill = setTimeout(() => this.#process.kill('SIGKILL'), QUIT_TIMEOUT);
    // An end in between is as good as an answer.
    await this.#monitor.execute('quit').catch(() => this.#process.kill('SIGTERM'));
    await this.#closed;
    clearTimeout(kill);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.#monitor.close();
    this.#bios.close();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
