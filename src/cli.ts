import { CommanderError, Option, Command as Program } from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { type Command, FailureWithOutputs, type InputDeclaration } from './commands/command.ts';
import { commands } from './commands/index.ts';
import { parseInputs } from './commands/inputs.ts';
import { presentOutputs } from './commands/outputs.ts';
import { interruptSignal } from './host/interrupt.ts';
import { findingLine, terminalHost } from './host/terminal.ts';
import { FindingsError, messageOf, UsageError } from './io/errors.ts';

const OLDEST_NODE = '22.12.0';

/** Runs the command line `k4all <command> [options]`; resolves to the exit code: 0 done, 1 failed, 2 wrong usage. */
export async function main(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const booleans = new Set(['json']);
  const program = new Program('k4all')
    .description('Bakes Fedora CoreOS installer ISOs, disk images and releases from Butane files.')
    .version(manifest.version)
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false });
  // Only the command that is named is loaded; all of them when the names are to be listed.
  const named = argv[0] !== undefined && Object.hasOwn(commands, argv[0]) ? [argv[0]] : Object.keys(commands);
  for (const name of named) {
    const command = await (commands[name] as () => Promise<Command>)();
    for (const [input, { type }] of Object.entries(command.inputs)) if (type === 'boolean') booleans.add(input);
    program.addCommand(
      subcommand(command, (code) => {
        exitCode = code;
      }),
    );
  }
  try {
    await program.parseAsync(argv.map(normalizeBoolean), { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  return exitCode;

  /** `--x=true` and `--x=false` as `--x` and `--no-x`: an option that took an optional value would swallow what follows. */
  function normalizeBoolean(argument: string): string {
    const [, name = '', value = ''] = /^--([a-z0-9-]+)=(true|false)$/i.exec(argument) ?? [];
    if (!booleans.has(name)) return argument;
    return value.toLowerCase() === 'true' ? `--${name}` : `--no-${name}`;
  }
}

function isOlderNode(version: string): boolean {
  return version.localeCompare(OLDEST_NODE, 'en', { numeric: true }) < 0;
}

function subcommand(command: Command, done: (exitCode: number) => void): Program {
  const program = new Program(command.name)
    .summary(command.summary)
    .description(`${command.summary}\n\n${command.description}`)
    .exitOverride()
    .allowExcessArguments(false);
  for (const [name, declaration] of Object.entries(command.inputs)) addOption(program, name, declaration);
  program.option('--json', 'print the outputs as one JSON object on stdout');
  // An input of that name keeps the option to itself; `-V` works everywhere.
  program.version(manifest.version, command.inputs.version ? '-V' : '-V, --version');
  return program.action(async (options: Record<string, unknown>) => done(await execute(command, options)));
}

function addOption(program: Program, name: string, declaration: InputDeclaration): void {
  const add = (option: Option) => {
    // The attribute is the input's own name, so that nothing has to be translated back.
    option.attributeName = () => name;
    program.addOption(option);
  };
  const description = describe(declaration);
  const collect = (value: string, previous: readonly string[] = []) => [...previous, value];
  if (declaration.type === 'boolean') {
    add(new Option(`--${name}`, description));
    add(new Option(`--no-${name}`).hideHelp());
  } else if (declaration.type === 'tuple') {
    add(new Option(`--${name} <${declaration.placeholders.join('> <')}...>`, description));
  } else {
    const placeholder =
      declaration.type === 'choice' || declaration.type === 'choices'
        ? declaration.choices.join('|')
        : declaration.type;
    add(new Option(`--${name} <${placeholder}>`, description).argParser(collect));
  }
}

function describe(declaration: InputDeclaration): string {
  const fallback = declaration.defaultText ?? ('default' in declaration ? String(declaration.default) : undefined);
  const note = declaration.required ? ' (required)' : fallback ? ` (default: ${fallback})` : '';
  return declaration.description.replaceAll('`', '') + note;
}

async function execute(command: Command, options: Record<string, unknown>): Promise<number> {
  const host = terminalHost({
    env: process.env,
    cwd: process.cwd(),
    signal: interruptSignal(),
    stderr: process.stderr,
  });
  const print = (outputs: Readonly<Record<string, unknown>>) => {
    const text = options.json ? JSON.stringify(outputs, null, 2) : presentOutputs(command, outputs as never);
    process.stdout.write(`${text}\n`);
  };
  try {
    print(await command.run(parseInputs(command.inputs, givenTexts(options)), host));
    return 0;
  } catch (error) {
    if (error instanceof FailureWithOutputs) print(error.outputs);
    if (error instanceof FindingsError) for (const finding of error.findings) host.info(findingLine(finding));
    host.info(`k4all ${command.name}: error: ${messageOf(error)}`);
    for (let cause = error; cause instanceof Error; cause = cause.cause) host.debug(cause.stack ?? cause.message);
    if (isOlderNode(process.versions.node)) {
      host.info(`k4all needs Node.js ${OLDEST_NODE} or newer, and this is ${process.versions.node}`);
    }
    return error instanceof UsageError ? 2 : 1;
  }
}

function givenTexts(options: Record<string, unknown>): Record<string, readonly string[]> {
  const entries = Object.entries(options).map(([name, value]) => [name, [value].flat().map(String)]);
  return Object.fromEntries(entries);
}
