import { messageOf } from '../io/errors.ts';
import { GitError, git as runGit } from '../io/git.ts';

/** What classification asks of a checkout. */
export interface Checkout {
  /** History is cut off, so that tags and ancestors are missing. */
  readonly shallow: boolean;
  /** Names of all tags, reachable or not. */
  tags(): Promise<readonly string[]>;
  /** Names of the tags that the checked out commit has in its history. */
  reachableTags(): Promise<readonly string[]>;
  /** Abbreviated id of the checked out commit; undefined before the first commit. */
  shortCommit(): Promise<string | undefined>;
  /** Full name of the checked out branch; undefined if none is. */
  branch(): Promise<string | undefined>;
}

/** Why there is no checkout to ask: no repository here, no git, or a repository that git refuses to read. */
export interface NoCheckout {
  readonly reason: string;
}

/** Opens the checkout that `folder` is in. */
export async function openCheckout(folder: string, signal?: AbortSignal): Promise<Checkout | NoCheckout> {
  const git = async (...args: string[]): Promise<string> => {
    const output = await runGit(folder, args, signal);
    return output.toString().trim();
  };
  const tagNames = async (...filter: string[]): Promise<string[]> => {
    const output = await git('for-each-ref', '--format=%(refname:lstrip=2)', ...filter, 'refs/tags');
    return output === '' ? [] : output.split('\n');
  };
  const optional = (...args: string[]) => git(...args).catch(() => undefined);
  try {
    const shallow = (await git('rev-parse', '--is-shallow-repository')) === 'true';
    return {
      shallow,
      tags: () => tagNames(),
      reachableTags: async () =>
        (await optional('rev-parse', '--verify', '-q', 'HEAD')) ? tagNames('--merged=HEAD') : [],
      shortCommit: () => optional('rev-parse', '--verify', '-q', '--short', 'HEAD'),
      branch: () => optional('symbolic-ref', '-q', 'HEAD'),
    };
  } catch (error) {
    signal?.throwIfAborted();
    return { reason: reasonOf(error) };
  }
}

function reasonOf(error: unknown): string {
  const reason = error instanceof GitError ? error.reason : messageOf(error);
  return reason.split('\n')[0] ?? 'git failed';
}
