/**
 * Generates what follows from the commands' declarations: every `action.yml`, the tables between the markers in
 * `docs/<command>.md`, and the JSON Schema of the build definition.
 *
 *     node scripts/generate.ts [--check]     --check writes nothing and fails where a file differs
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { definitionJsonSchema } from '../src/build/definition.ts';
import type { Command, InputDeclaration } from '../src/commands/command.ts';
import { commands } from '../src/commands/index.ts';

const root = resolve(import.meta.dirname, '..');
const NOTICE = '# Generated from src/commands by `npm run generate`; changes here are lost.\n';

/** The text of a command's `action.yml`; `main` is relative to the action's folder. */
export function actionYaml(command: Command, main: string): string {
  const inputs = Object.entries(command.inputs).filter(([, declaration]) => !declaration.cliOnly);
  const content = {
    name: command.name,
    description: command.summary,
    author: 'k4all',
    branding: command.branding ?? { icon: 'disc', color: 'blue' },
    inputs: Object.fromEntries(inputs.map(([name, declaration]) => [name, actionInput(declaration)])),
    outputs: Object.fromEntries(
      Object.entries(command.outputs).map(([name, { description }]) => [name, { description }]),
    ),
    runs: { using: 'node24', main },
  };
  return NOTICE + stringify(content, { lineWidth: 110 });
}

function actionInput(declaration: InputDeclaration): Record<string, unknown> {
  const fallback = declaration.defaultText ? ` Default: ${declaration.defaultText}.` : '';
  const value = declaration.actionDefault ?? defaultText(declaration);
  return {
    description: declaration.description + fallback,
    required: declaration.required ?? false,
    ...(value !== undefined && { default: value }),
  };
}

function defaultText(declaration: InputDeclaration): string | undefined {
  if (!('default' in declaration) || declaration.default === undefined) return undefined;
  const separator = declaration.type === 'lines' ? '\n' : ',';
  return [declaration.default].flat().join(separator);
}

/** The generated part of a command's page in the docs. */
export function docsTables(command: Command): string {
  const inputs = Object.entries(command.inputs).map(([name, declaration]) => {
    const fallback = defaultText(declaration);
    const shown = declaration.required
      ? '**required**'
      : fallback !== undefined
        ? `\`${fallback}\``
        : (declaration.defaultText ?? '');
    const choices = 'choices' in declaration ? ` One of ${declaration.choices.map((c) => `\`${c}\``).join(', ')}.` : '';
    const only = declaration.cliOnly ? ' Command line only.' : '';
    return `| \`${name}\` | ${typeName(declaration)} | ${shown} | ${cell(declaration.description + choices + only)} |`;
  });
  const outputs = Object.entries(command.outputs).map(
    ([name, { type, description }]) => `| \`${name}\` | ${type} | ${cell(description)} |`,
  );
  const permissions = Object.entries(command.permissions ?? {}).map(([name, why]) => `- \`${name}\`: ${why}`);
  return [
    '## Inputs\n\n| input | type | default | description |\n| --- | --- | --- | --- |',
    inputs.join('\n'),
    '\n## Outputs\n\n| output | type | description |\n| --- | --- | --- |',
    outputs.join('\n'),
    `\n## Permissions\n\n${permissions.length > 0 ? permissions.join('\n') : 'None.'}`,
  ].join('\n');
}

function typeName(declaration: InputDeclaration): string {
  return { choices: 'list', lines: 'lines', tuple: 'values' }[declaration.type as 'choices'] ?? declaration.type;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

/** Replaces what stands between the markers of a docs page. */
function insertTables(page: string, tables: string): string {
  const [begin, end] = ['<!-- generated: inputs and outputs -->', '<!-- end of generated part -->'];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`a docs page lacks the line ${begin} or ${end}`);
  return `${before}${begin}\n${tables}\n${end}${after}`;
}

/** Every generated file: path relative to the repository, and text. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  files.set('docs/k4all.schema.json', `${JSON.stringify(definitionJsonSchema(), null, 2)}\n`);
  for (const [name, load] of Object.entries(commands)) {
    const command = await load();
    if (command.name !== name) throw new Error(`src/commands/index.ts calls ${command.name} "${name}"`);
    files.set(`actions/${name}/action.yml`, actionYaml(command, `../../dist/${name}.js`));
    if (name === 'build-iso') files.set('action.yml', actionYaml(command, `dist/${name}.js`));
    const docs = `docs/${name}.md`;
    const page = await readFile(join(root, docs), 'utf8').catch(() => {
      throw new Error(`${docs} is missing: every command has a page`);
    });
    files.set(docs, insertTables(page, docsTables(command)));
  }
  return files;
}

if (import.meta.main) {
  const check = process.argv.includes('--check');
  const stale: string[] = [];
  for (const [path, text] of await generatedFiles()) {
    const existing = await readFile(join(root, path), 'utf8').catch(() => '');
    if (existing === text) continue;
    stale.push(path);
    if (check) continue;
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  for (const path of stale) console.log(check ? `stale: ${path} (run \`npm run generate\`)` : `wrote ${path}`);
  if (check && stale.length > 0) process.exitCode = 1;
}
