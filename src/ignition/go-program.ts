import { type Go, loadGo } from '../../wasm/butane/wasm_exec.js';
import { messageOf } from '../io/errors.ts';
import { GoFileSystem } from './go-file-system.ts';

/** The folder that a Go program takes for its current one; the tree stands there. */
const CURRENT_FOLDER = '/files';

/**
 * A Go program (`GOOS=js`) that waits for calls. It gets globals of its own, so that neither the real file system nor
 * the process is within its reach, and nothing of it is within ours.
 */
export class GoProgram<Exports extends object> {
  readonly files: GoFileSystem;
  /** What the program offers, in the object that it found as a global. */
  readonly exports: Exports;
  readonly #go: Go;
  #crash: Error | undefined;

  private constructor(files: GoFileSystem, exports: Exports, go: Go) {
    this.files = files;
    this.exports = exports;
    this.#go = go;
  }

  /**
   * @param name of the global object that the program adds its functions to
   * @throws Error with the runtime's message if the program ends at once
   */
  static start<Exports extends object>(module: WebAssembly.Module, name: string): GoProgram<Exports> {
    const files = new GoFileSystem();
    const exports = {} as Exports;
    const GoClass = loadGo(globals(files, { [name]: exports }), files, silentConsole, unrefTimeout);
    const go = new GoClass();
    go.exit = () => {};
    const program = new GoProgram(files, exports, go);
    // It runs until it waits for calls; the promise would only tell the end of the program, which `call` notices.
    program.call(() => void go.run(new WebAssembly.Instance(module, go.importObject)).catch(() => {}));
    return program;
  }

  /**
   * Calls into the program.
   *
   * @throws Error with the runtime's message if the program crashed, now or before: it can't be called again then
   */
  call<T>(work: () => T): T {
    if (this.#crash) throw this.#crash;
    try {
      const result = work();
      if (!this.#go.exited) return result;
      this.#crash = new Error(this.#lastWords());
    } catch (error) {
      // An exception that crossed Go's frames left its stack in no known state.
      this.#crash = new Error(this.#go.exited ? this.#lastWords() : messageOf(error), { cause: error });
    }
    throw this.#crash;
  }

  #lastWords(): string {
    const lines = this.files.stderr.split('\n').filter((line) => line.trim() !== '');
    return lines.find((line) => /^(panic|fatal error|runtime):/.test(line)) ?? lines[0] ?? 'it ended without a reason';
  }
}

/** Go's global object: what its packages `syscall`, `time` and `syscall/js` look up, and the program's own object. */
function globals(fs: GoFileSystem, own: object): object {
  return {
    ...{ fs, Object, Array, Uint8Array, Date, Error },
    ...{ crypto: globalThis.crypto, performance: globalThis.performance, TextEncoder, TextDecoder },
    path: { resolve: (...parts: string[]) => parts.join('/') },
    process: { cwd: () => CURRENT_FOLDER, pid: -1, ppid: -1 },
    ...own,
  };
}

const silentConsole = { log: () => {}, warn: () => {}, error: () => {} };

/** The runtime's background work mustn't keep Node alive. */
function unrefTimeout(callback: () => void, delay: number): NodeJS.Timeout {
  return setTimeout(callback, delay).unref();
}
