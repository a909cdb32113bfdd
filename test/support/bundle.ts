import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The shipped bundle; tests run it as users do. */
export const dist = resolve(import.meta.dirname, '../../dist');

export interface ProcessResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs `k4all` from the bundle, with an environment that holds nothing of the machine but the path. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<ProcessResult> {
  return runNode([join(dist, 'cli.js'), ...args], options);
}

export interface StepResult extends ProcessResult {
  readonly outputs: Readonly<Record<string, string>>;
  readonly summary: string;
  /** Workflow commands of the log, such as `error file=a.bu,line=3::message`. */
  readonly commands: readonly string[];
}

/** Runs a command's bundle as the runner runs a step: inputs in the environment, outputs and summary in files. */
export async function runStep(
  name: string,
  inputs: Readonly<Record<string, string>>,
  options: RunOptions = {},
): Promise<StepResult> {
  const folder = await mkdtemp(join(tmpdir(), 'k4all-step-'));
  try {
    const files = { GITHUB_OUTPUT: join(folder, 'output'), GITHUB_STEP_SUMMARY: join(folder, 'summary') };
    for (const file of Object.values(files)) await writeFile(file, '');
    const given = Object.entries(inputs).map(([input, value]) => [`INPUT_${input.toUpperCase()}`, value]);
    const env = {
      GITHUB_ACTIONS: 'true',
      GITHUB_WORKSPACE: options.cwd ?? folder,
      RUNNER_TEMP: folder,
      ...files,
      ...Object.fromEntries(given),
      ...options.env,
    };
    const result = await runNode([join(dist, `${name}.js`)], { ...options, env });
    const [output, summary] = await Promise.all(Object.values(files).map((file) => readFile(file, 'utf8')));
    const commands = result.stdout.split('\n').filter((line) => line.startsWith('::'));
    return {
      ...result,
      outputs: parseOutputs(output ?? ''),
      summary: summary ?? '',
      commands: commands.map((line) => line.slice(2)),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The file format of `GITHUB_OUTPUT`: `name<<DELIMITER`, the value's lines, `DELIMITER`. */
function parseOutputs(text: string): Record<string, string> {
  const outputs: Record<string, string> = {};
  for (const [, name = '', , value = ''] of text.matchAll(/^([^\n<]+)<<(\S+)\n([\s\S]*?)\n\2$/gm))
    outputs[name] = value;
  return outputs;
}

function runNode(argv: readonly string[], { cwd, env }: RunOptions): Promise<ProcessResult> {
  const clean = { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', TMPDIR: tmpdir(), ...env };
  return new Promise((done) => {
    const options = { cwd, env: clean, maxBuffer: 64 * 1024 * 1024 };
    execFile(process.execPath, [...argv], options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 128) : 0;
      done({ code, stdout, stderr });
    });
  });
}
