import { readFile } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { hasCode, quote } from '../io/errors.ts';

/**
 * The patterns of a `.containerignore` or `.dockerignore` file. Unlike git's they are anchored at the context, the last
 * one that matches wins, and a pattern that matches a folder matches everything in it.
 *
 * Source of the format: https://docs.docker.com/build/concepts/context/#dockerignore-files
 */
export class IgnoreFile {
  readonly #patterns: readonly { readonly negated: boolean; readonly regex: RegExp }[];

  /** @throws Error with the line of a pattern that isn't one */
  constructor(text: string, name: string) {
    this.#patterns = text
      .replace(/^\uFEFF/, '')
      .split(/\r?\n/)
      .map((line, index) => ({ line, place: `${name}:${index + 1}` }))
      .filter(({ line }) => !line.startsWith('#') && line.trim() !== '')
      .map(({ line, place }) => parsePattern(line.trim(), place));
  }

  /** Whether the path, relative to the context and separated by `/`, is left out. */
  ignores(path: string): boolean {
    let ignored = false;
    for (const { negated, regex } of this.#patterns) {
      if (ignored === negated && matchesOrParentMatches(regex, path)) ignored = !negated;
    }
    return ignored;
  }

  /** Whether something inside an ignored folder may be taken back by a later `!` pattern. */
  get hasExceptions(): boolean {
    return this.#patterns.some(({ negated }) => negated);
  }
}

/** Reads the folder's `.containerignore`, else its `.dockerignore`; without either nothing is ignored. */
export async function readIgnoreFile(folder: string): Promise<IgnoreFile> {
  for (const name of ['.containerignore', '.dockerignore']) {
    const text = await readFile(join(folder, name), 'utf8').catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (text !== undefined) return new IgnoreFile(text, name);
  }
  return new IgnoreFile('', '');
}

function parsePattern(line: string, place: string): { negated: boolean; regex: RegExp } {
  const negated = line.startsWith('!');
  const pattern = negated ? line.slice(1).trim() : line;
  const clean = posix.normalize(pattern).replace(/^\/+|\/+$/g, '');
  if (clean === '') throw new Error(`${place}: ${quote(line)} is not a pattern`);
  try {
    return { negated, regex: new RegExp(`^${translate(clean)}$`, 'su') };
  } catch (cause) {
    throw new Error(`${place}: ${quote(line)} is not a pattern`, { cause });
  }
}

const TOKEN = /\*\*\/?|\*|\?|\[(\^?)((?:\\.|[^\]\\])+)\]|\\(.)|([^*?])/gsu;

/** Go's `filepath.Match` as a regular expression, and `**` for any number of folders. */
function translate(pattern: string): string {
  return pattern.replace(TOKEN, (token, caret: string | undefined, set: string | undefined, escaped, plain) => {
    if (token.startsWith('**')) return pattern.endsWith(token) && !token.endsWith('/') ? '.*' : '(?:.*/)?';
    if (token === '*') return '[^/]*';
    if (token === '?') return '[^/]';
    if (set !== undefined) return `[${caret}${characterSet(set)}]`;
    return escapeText(escaped ?? plain);
  });
}

function characterSet(set: string): string {
  return set.replace(/\\(.)|([[\]^\\])/gsu, (_, escaped: string | undefined, special: string | undefined) => {
    const character = escaped ?? special ?? '';
    return /[[\]^\\-]/.test(character) ? `\\${character}` : character;
  });
}

function escapeText(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}

function matchesOrParentMatches(regex: RegExp, path: string): boolean {
  for (let end = path.indexOf('/'); end >= 0; end = path.indexOf('/', end + 1)) {
    if (regex.test(path.slice(0, end))) return true;
  }
  return regex.test(path);
}
