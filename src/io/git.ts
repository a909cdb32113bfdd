import { type ChildProcessWithoutNullStreams, execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { hasCode } from './errors.ts';

const run = promisify(execFile);
/** The listing of a tree, of changes or of tags; 256 MiB are more than a million paths. */
const MAX_OUTPUT = 256 * 1024 * 1024;

/** Variables that would point git at another repository or at other objects, as they are set inside hooks. */
const FOREIGN = [
  'GIT_ALTERNATE_OBJECT_DIRECTORIES',
  'GIT_COMMON_DIR',
  'GIT_DIR',
  'GIT_GRAFT_FILE',
  'GIT_INDEX_FILE',
  'GIT_NAMESPACE',
  'GIT_OBJECT_DIRECTORY',
  'GIT_PREFIX',
  'GIT_REPLACE_REF_BASE',
  'GIT_SHALLOW_FILE',
  'GIT_WORK_TREE',
];

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

/** git itself is missing, or said no. */
export class GitError extends Error {
  override name = 'GitError';
  readonly missing: boolean;
  /** What git said, without the command that was run. */
  readonly reason: string;

  constructor(subcommand: string, cause: unknown) {
    const missing = hasCode(cause, 'ENOENT');
    const stderr = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    const reason = missing ? 'git is not installed' : stderr || String(cause);
    super(missing ? reason : `git ${subcommand} failed: ${reason}`, { cause });
    this.missing = missing;
    this.reason = reason;
  }
}

/**
 * Runs git in the repository that a folder is in and returns what it printed.
 *
 * @throws GitError
 */
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

/** Starts git where its output is too large to be kept. */
export function startGit(cwd: string, args: readonly string[], signal?: AbortSignal): ChildProcessWithoutNullStreams {
  return spawn('git', [...args], { cwd, env: gitEnvironment(), stdio: ['pipe', 'pipe', 'pipe'], signal });
}
