import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { brotliDecompressSync } from 'node:zlib';
import manifest from '../../wasm/butane/manifest.json' with { type: 'json' };
import { type Finding, FindingsError, messageOf } from '../io/errors.ts';
import { GoProgram } from './go-program.ts';
import { type Answer, findingsOf } from './report.ts';
import type { VirtualTree } from './virtual-tree.ts';

/** What `wasm/butane/main.go` exports. */
interface Exports {
  compile(source: Uint8Array, filesDir: string, pretty: boolean): Packed;
  validate(config: Uint8Array): Packed;
}

interface Packed {
  readonly result: Uint8Array | null;
  readonly answer: string;
}

export interface CompileOptions {
  /** The Butane config. */
  readonly source: Uint8Array;
  /** The name of its file, for messages and locations. */
  readonly name: string;
  /** What `local:` paths and trees are read from. */
  readonly tree: VirtualTree;
  /** Warnings fail. */
  readonly strict: boolean;
  /** Indented JSON. */
  readonly pretty: boolean;
}

export interface Compiled {
  /** What the command `butane` writes, final newline included: an Ignition config, or a MachineConfig for OpenShift. */
  readonly ignition: Uint8Array;
  /** Warnings and notices. */
  readonly findings: readonly Finding[];
}

/** Butane and the Ignition validator, ready for calls; they are synchronous. */
export class Butane {
  /** Versions of the Go modules. */
  readonly version: string = manifest.butane;
  readonly ignitionVersion: string = manifest.ignition;
  readonly #program: GoProgram<Exports>;

  constructor(program: GoProgram<Exports>) {
    this.#program = program;
  }

  /**
   * Compiles a Butane config.
   *
   * @throws FindingsError with everything that Butane reports, if there is an error, or a warning while `strict`
   */
  compile(options: CompileOptions): Compiled {
    const { source, name, tree, strict, pretty } = options;
    const { files, exports } = this.#program;
    const { result, told } = this.#call(name, () => files.using(tree, () => exports.compile(source, '.', pretty)));
    const findings = findingsOf(told, name, (path) => files.refusal(path));
    if (!result) throw new FindingsError(`${name}: Butane found ${count(findings, 'error')}`, findings);
    if (strict && findings.length > 0) {
      throw new FindingsError(
        `${name}: Butane found ${count(findings, 'warning')}, and "strict" makes that a failure`,
        findings,
      );
    }
    return { ignition: result, findings };
  }

  /** Checks an Ignition config of any version that the validator knows; findings with severity `error` make it invalid. */
  validate(config: Uint8Array, name: string): readonly Finding[] {
    const { told } = this.#call(name, () => this.#program.exports.validate(config));
    return findingsOf(told, name, () => undefined);
  }

  #call(name: string, work: () => Packed): { result: Uint8Array | null; told: Answer } {
    try {
      const { result, answer } = this.#program.call(work);
      const told = JSON.parse(answer) as Answer;
      if (told.panic) throw new Error(told.error);
      return { result, told };
    } catch (error) {
      throw new Error(`${name}: Butane crashed: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** The optimising compiler takes another 15 MB and no less time: the work is over before it pays. */
const BASELINE_COMPILER_ONLY = ['--liftoff-only', '--no-wasm-tier-up', '--no-wasm-dynamic-tiering'];

/**
 * Starts Butane. It takes about 80 MB of memory until it is collected, so start it once and let go of it.
 *
 * @throws Error if the WebAssembly module is missing or doesn't start
 */
export async function startButane(): Promise<Butane> {
  for (const flag of BASELINE_COMPILER_ONLY) setFlagsFromString(flag);
  const compressed = await readFile(moduleFile());
  // One chunk of the known size: growing the result chunk by chunk would take twice the memory.
  const wasm = brotliDecompressSync(compressed, { chunkSize: manifest.size + 64 });
  const module = await WebAssembly.compile(wasm);
  // V8 keeps a copy; this one is given back at once instead of at some garbage collection.
  wasm.buffer.transfer(0);
  return new Butane(GoProgram.start<Exports>(module, 'butane'));
}

/** The module lies beside the bundle; the sources find it in `dist/`. */
function moduleFile(): string {
  const candidates = ['./butane.wasm.br', '../../dist/butane.wasm.br'];
  const files = candidates.map((candidate) => fileURLToPath(new URL(candidate, import.meta.url)));
  const file = files.find((candidate) => existsSync(candidate));
  if (file) return file;
  throw new Error(`Butane is missing: neither ${files.join(' nor ')} exists (it is part of dist/)`);
}

/** `1 error`, `2 errors`; notices count as warnings, as they do in Butane's `--strict`. */
function count(findings: readonly Finding[], what: 'error' | 'warning'): string {
  const found = findings.filter(({ severity }) => (severity === 'error') === (what === 'error')).length;
  return `${found} ${what}${found === 1 ? '' : 's'}`;
}
