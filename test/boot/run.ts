import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** Runs a tool without a shell; resolves to its stdout. @throws Error with its stderr if it fails */
export async function run(
  program: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<string> {
  const { stdout } = await execute(program, args, {
    ...options,
    env: { ...process.env, ...options.env },
    maxBuffer: 64 * 1024 ** 2,
  });
  return stdout;
}
