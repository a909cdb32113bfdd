/** Go's class that runs a program; the parts of it that the host uses. */
export interface Go {
  env: Record<string, string>;
  exit: (code: number) => void;
  readonly exited: boolean;
  readonly importObject: WebAssembly.Imports;
  /** Runs until the program waits for calls; the promise settles when the program ends. */
  run(instance: WebAssembly.Instance): Promise<void>;
}

/** Evaluates Go's `wasm_exec.js` with these in place of the real globals. */
export function loadGo(
  globals: object,
  fs: object,
  console: object,
  setTimeout: (callback: () => void, delay: number) => unknown,
): new () => Go;
