import { debug, getInput, info, setFailed, setOutput, setSecret } from '@actions/core';
import { type Command, FailureWithOutputs } from './commands/command.ts';
import { parseInputs } from './commands/inputs.ts';
import { outputText, presentOutputs } from './commands/outputs.ts';
import { interruptSignal } from './host/interrupt.ts';
import { inert, runnerHost } from './host/runner.ts';
import { FindingsError, messageOf, UsageError } from './io/errors.ts';

/** Runs a command as a step of a job; the only place that fails a step. */
export async function runAction(command: Command): Promise<void> {
  const host = runnerHost({ env: process.env, signal: interruptSignal() });
  try {
    const inputs = parseInputs(command.inputs, stepInputs(command));
    const outputs = await command.run(inputs, host);
    info(inert(presentOutputs(command, outputs)));
    setOutputs(command, outputs);
  } catch (error) {
    if (error instanceof FailureWithOutputs) setOutputs(command, error.outputs);
    if (error instanceof FindingsError) error.findings.forEach(host.report);
    debugCauses(error);
    setFailed(`${command.name}: ${messageOf(error)}`);
    if (error instanceof UsageError) process.exitCode = 2;
  }
}

function stepInputs(command: Command): Record<string, string[]> {
  const names = Object.keys(command.inputs).filter((name) => !command.inputs[name]?.cliOnly);
  const entries = names.map((name) => [name, [getInput(name, { trimWhitespace: false })]]);
  for (const name of names) {
    if (command.inputs[name]?.type === 'secret' && getInput(name)) setSecret(getInput(name));
  }
  return Object.fromEntries(entries);
}

function setOutputs(command: Command, values: Readonly<Record<string, unknown>>): void {
  for (const [name, { type }] of Object.entries(command.outputs)) {
    if (values[name] !== undefined) setOutput(name, outputText(type, values[name]));
  }
}

function debugCauses(error: unknown): void {
  for (let cause = error; cause instanceof Error; cause = cause.cause) debug(cause.stack ?? cause.message);
}
