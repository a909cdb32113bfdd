import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Butane, startButane, VirtualTree } from '../ignition/index.ts';
import { type Finding, FindingsError, quote } from '../io/errors.ts';
import { runInThread } from '../io/threads.ts';
import type { InputFile } from './build-info.ts';
import type { CompilePlan, CompileStep } from './plan.ts';

/** What the live system of a role gets: an Ignition config as Butane writes it. */
export interface RoleConfig {
  readonly role: string;
  readonly live: Uint8Array;
}

export interface Compilation {
  readonly roles: readonly RoleConfig[];
  /** Warnings and notices. */
  readonly findings: readonly Finding[];
  /** Butane files and all that they carry, by path in the workspace. */
  readonly inputs: readonly InputFile[];
  readonly butaneVersion: string;
}

/** A generated config, which later steps see under its name. */
interface Result {
  readonly output: string;
  readonly ignition: Uint8Array;
}

export interface CompileInput {
  readonly plan: CompilePlan;
  /** Absolute path. */
  readonly workspace: string;
  /** Globs relative to the workspace. */
  readonly executable: readonly string[];
}

/** `compileRoles` in a thread, so that others can work meanwhile; its memory is given back when it is done. */
export async function compileInThread(input: CompileInput, signal: AbortSignal): Promise<Compilation> {
  return (await runInThread({ work: 'butane', input }, { signal, once: true })) as Compilation;
}

/**
 * Compiles the configs of all roles in memory; the workspace stays as it is. Butane runs strict and pretty, as k4all's
 * builds do.
 *
 * @throws FindingsError with what Butane reports about all roles
 */
export async function compileRoles({ plan, ...options }: CompileInput): Promise<Compilation> {
  await assertButaneFiles(plan, options.workspace);
  const butane = await startButane();
  const compiler = new Compiler(butane, options);
  const shared = compiler.compile(plan.shared, []);
  const failures: FindingsError[] = [];
  const roles: RoleConfig[] = [];
  for (const { role, steps } of plan.roles) {
    try {
      const results = [...shared, ...compiler.compile(steps, shared)];
      const live = results.find(({ output }) => output === plan.live)?.ignition;
      if (live) roles.push({ role, live });
    } catch (error) {
      if (!(error instanceof FindingsError)) throw error;
      failures.push(error);
    }
  }
  if (failures.length > 0) throw joined(failures);
  return { roles, findings: compiler.findings, inputs: compiler.inputs(), butaneVersion: butane.version };
}

class Compiler {
  readonly findings: Finding[] = [];
  readonly #butane: Butane;
  readonly #options: { workspace: string; executable: readonly string[] };
  readonly #inputs = new Map<string, string>();

  constructor(butane: Butane, options: { workspace: string; executable: readonly string[] }) {
    this.#butane = butane;
    this.#options = options;
  }

  /** Runs steps in order; each sees the results before it, `earlier` ones included. */
  compile(steps: readonly CompileStep[], earlier: readonly Result[]): Result[] {
    const { workspace, executable } = this.#options;
    const tree = new VirtualTree(workspace, { executable });
    for (const { output, ignition } of earlier) tree.put(output, ignition);
    const results = steps.map(({ butane, output }) => {
      const name = join(workspace, butane);
      const source = tree.readFile(butane);
      const { ignition, findings } = this.#butane.compile({ source, name, tree, strict: true, pretty: true });
      this.findings.push(...findings);
      tree.put(output, ignition);
      return { output, ignition };
    });
    for (const { path, sha256 } of tree.readFiles()) this.#inputs.set(path, sha256);
    return results;
  }

  inputs(): InputFile[] {
    return [...this.#inputs].map(([path, sha256]) => ({ path, sha256 }));
  }
}

/** All missing Butane files are told at once, with the role that needs them. */
async function assertButaneFiles(plan: CompilePlan, workspace: string): Promise<void> {
  const needed = [
    ...plan.shared.map(({ butane }) => ({ butane, whose: '' })),
    ...plan.roles.flatMap(({ role, steps }) =>
      steps.map(({ butane }) => ({ butane, whose: ` of the role ${quote(role)}` })),
    ),
  ];
  const messages = new Set<string>();
  for (const { butane, whose } of needed) {
    const found = await stat(join(workspace, butane)).catch(() => undefined);
    if (!found) messages.add(`the Butane file ${quote(butane)}${whose} is not in the workspace ${workspace}`);
    else if (!found.isFile()) messages.add(`the Butane file ${quote(butane)}${whose} is not a regular file`);
  }
  if (messages.size > 0) throw new Error([...messages].join('\n'));
}

/** One failure for several roles; a finding in a file that they share is told once. */
function joined(failures: readonly FindingsError[]): FindingsError {
  const findings = new Map(failures.flatMap((failure) => failure.findings).map((f) => [JSON.stringify(f), f]));
  const messages = new Set(failures.map(({ message }) => message));
  return new FindingsError([...messages].join('\n'), [...findings.values()]);
}
