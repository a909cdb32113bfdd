import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { quote } from '../io/errors.ts';
import { GitError, git } from '../io/git.ts';

/**
 * The folder's place in the checkout that holds it: `''` at the top, `images/` below; undefined outside of any.
 *
 * @throws Error where there is a checkout that git can't or won't read: taking the folder as it is would then leak
 *   `.git` and untracked files
 */
export async function placeInCheckout(folder: string): Promise<string | undefined> {
  try {
    const text = (await git(folder, ['rev-parse', '--is-inside-work-tree', '--show-prefix'])).toString();
    const [inside, ...prefix] = text.split('\n');
    if (inside !== 'true') throw new Error(`${folder} is inside a .git folder: give a work tree as "context"`);
    return prefix.join('\n').replace(/\n$/, '');
  } catch (error) {
    if (!(error instanceof GitError)) throw error;
    const repository = await enclosingRepository(folder);
    if (!repository) return undefined;
    const hint = /dubious ownership/.test(error.message)
      ? `: run \`git config --global --add safe.directory ${dirname(repository)}\``
      : '';
    throw new Error(`${quote(folder)} is in a git checkout, but ${error.message}${hint}`, { cause: error });
  }
}

async function enclosingRepository(folder: string): Promise<string | undefined> {
  for (let current = resolve(folder); ; current = dirname(current)) {
    const candidate = join(current, '.git');
    if (await stat(candidate).catch(() => undefined)) return candidate;
    if (dirname(current) === current) return undefined;
  }
}

/** The URL of the checkout's `origin`, if it has one. */
export async function originUrl(folder: string): Promise<string | undefined> {
  const url = await git(folder, ['config', '--get', 'remote.origin.url']).catch(() => undefined);
  return url?.toString().trim() || undefined;
}
