import { quote, UsageError } from '../io/errors.ts';
import { parseSize } from '../io/sizes.ts';
import type { InputDeclaration, Inputs, InputValues } from './command.ts';

/**
 * Reads the texts given for a command's inputs into typed values; all mistakes are collected.
 *
 * @param given the texts by input name; several where an option was repeated. An empty text counts as not given, as on
 *   a runner, where every input that isn't set is empty.
 * @throws UsageError with a sentence per mistake
 */
export function parseInputs<I extends Inputs>(
  declared: I,
  given: Readonly<Record<string, readonly string[]>>,
): InputValues<I> {
  const mistakes: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, declaration] of Object.entries(declared)) {
    const texts = (given[name] ?? []).filter((text) => text.trim() !== '');
    try {
      values[name] = texts.length > 0 ? parse(name, declaration, texts) : absent(name, declaration);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      mistakes.push(error.message);
    }
  }
  if (mistakes.length > 0) throw new UsageError(mistakes.join('\n'));
  return values as InputValues<I>;
}

function absent(name: string, declaration: InputDeclaration): unknown {
  if (declaration.required) throw new UsageError(`"${name}" is required: ${declaration.description}`);
  if (declaration.type === 'tuple') return undefined;
  if (declaration.type === 'list' || declaration.type === 'lines') return declaration.default ?? [];
  if (declaration.type === 'size' && declaration.default !== undefined) return parseSize(declaration.default);
  return declaration.default;
}

function parse(name: string, declaration: InputDeclaration, texts: readonly string[]): unknown {
  const { type } = declaration;
  if (type === 'list' || type === 'choices') {
    const items = texts.flatMap(splitList);
    if (type === 'list') return items;
    return [...new Set(items.map((item) => oneOf(name, item, declaration.choices)))];
  }
  if (type === 'lines') return texts.flatMap((text) => text.split(/\r?\n/)).filter((line) => line.trim() !== '');
  if (type === 'tuple') {
    if (texts.length === declaration.placeholders.length) return texts;
    throw new UsageError(`"${name}" takes ${declaration.placeholders.join(' and ')}, not ${texts.length} values`);
  }
  const [text = '', ...more] = texts;
  if (more.length > 0) throw new UsageError(`"${name}" is given ${texts.length} times, but takes one value`);
  return parseScalar(name, declaration, text);
}

function parseScalar(name: string, declaration: InputDeclaration, text: string): unknown {
  switch (declaration.type) {
    case 'boolean':
      if (/^(true|false)$/i.test(text.trim())) return text.trim().toLowerCase() === 'true';
      throw new UsageError(`"${name}" is ${quote(text)}, but takes true or false`);
    case 'integer':
      return parseInteger(name, text, declaration.minimum ?? 0);
    case 'size':
      try {
        return parseSize(text);
      } catch (error) {
        throw new UsageError(`"${name}": ${(error as Error).message}`);
      }
    case 'choice':
      return oneOf(name, text.trim(), declaration.choices);
    default:
      return text;
  }
}

function parseInteger(name: string, text: string, minimum: number): number {
  const value = Number(text);
  if (/^\s*\d+\s*$/.test(text) && Number.isSafeInteger(value) && value >= minimum) return value;
  throw new UsageError(`"${name}" is ${quote(text)}, but takes a whole number from ${minimum}`);
}

function oneOf(name: string, text: string, choices: readonly string[]): string {
  if (choices.includes(text)) return text;
  throw new UsageError(`"${name}" is ${quote(text)}, but takes ${choices.join(', ')}`);
}

/** Commas or newlines separate; a value that holds a comma uses newlines, so a text with newlines isn't split at commas. */
function splitList(text: string): string[] {
  const separator = text.includes('\n') ? /\r?\n/ : ',';
  return text
    .split(separator)
    .map((item) => item.trim())
    .filter((item) => item !== '');
}
