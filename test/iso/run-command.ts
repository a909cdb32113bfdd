import type { Command } from '../../src/commands/command.ts';
import { parseInputs } from '../../src/commands/inputs.ts';
import { findingLine, terminalHost } from '../../src/host/terminal.ts';

export type Given = Readonly<Record<string, readonly string[]>>;

import { FindingsError } from '../../src/io/errors.ts';

/** Runs a command as the command line does; resolves to its outputs and what it told. */
export async function runCommand(
  command: unknown,
  given: Given,
  cwd: string,
): Promise<{ outputs: Record<string, unknown>; log: string }> {
  const log: string[] = [];
  const stderr = { write: (text: string) => log.push(text) > 0, isTTY: false, columns: 80 };
  const host = terminalHost({ env: {}, cwd, signal: new AbortController().signal, stderr: stderr as never });
  const { inputs, run } = command as Command;
  const outputs = await run(parseInputs(inputs, given), host).catch((error: Error) => {
    const findings = error instanceof FindingsError ? error.findings.map(findingLine) : [];
    error.message = [error.message, ...findings, ...log].join('\n');
    throw error;
  });
  return { outputs: outputs as Record<string, unknown>, log: log.join('') };
}
