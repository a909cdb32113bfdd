import { execFile, spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { hasCode, quote } from '../io/errors.ts';

const run = promisify(execFile);
/** The listing of a tree or of changes; 256 MiB are more than a million paths. */
const MAX_OUTPUT = 256 * 1024 * 1024;

/** Variables that would point git at another repository, as they are set inside hooks. */
const FOREIGN = ['GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE', 'GIT_PREFIX', 'GIT_OBJECT_DIRECTORY', 'GIT_NAMESPACE'];

/** The environment for git: no translation, no locks, objects as they are stored. */
function gitEnvironment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LC_ALL: 'C',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_TERMINAL_PROMPT: '0',
  };
  for (const name of FOREIGN) delete env[name];
  return env;
}

/** Runs git in a folder and returns what it printed. */
export async function git(cwd: string, args: readonly string[], signal?: AbortSignal): Promise<Buffer> {
  try {
    const { stdout } = await run('git', [...args], {
      cwd,
      env: gitEnvironment(),
      encoding: 'buffer',
      maxBuffer: MAX_OUTPUT,
      signal,
    });
    return stdout;
  } catch (error) {
    signal?.throwIfAborted();
    throw new GitError(args[0] ?? '', error);
  }
}

/** git itself is missing, or said no. */
export class GitError extends Error {
  override name = 'GitError';
  readonly missing: boolean;

  constructor(subcommand: string, cause: unknown) {
    const missing = hasCode(cause, 'ENOENT');
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    super(missing ? 'git is not installed' : `git ${subcommand} failed: ${stderr || cause}`, { cause });
    this.missing = missing;
  }
}

/** A stream of `git cat-file --batch`: requests go in, objects come out in the same order. */
export function catFile(cwd: string, signal?: AbortSignal) {
  return spawn('git', ['cat-file', '--batch'], {
    cwd,
    env: gitEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
  });
}

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
