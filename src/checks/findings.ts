import type { Finding, SourceLocation } from '../io/errors.ts';
import { findSecrets } from './secrets.ts';
import { checkSpecVersion } from './spec-version.ts';

/** What a secret in a config leads to: a warning, an error, or nothing. */
export type SecretsPolicy = 'warn' | 'fail' | 'ignore';

export interface FindingOptions {
  /** The Fedora CoreOS releases that are to understand the config; the spec isn't checked without. */
  readonly release?: string | readonly string[] | undefined;
  readonly secrets: SecretsPolicy;
  readonly location?: SourceLocation | undefined;
  /** What the config is, said before each message, such as `role worker`. */
  readonly subject?: string | undefined;
}

/**
 * All that is to be said about an Ignition config before it goes into an image: an error if a release doesn't
 * understand its spec, and each secret in it as `secrets` says.
 */
export function configFindings(config: unknown, options: FindingOptions): Finding[] {
  const { location, subject } = options;
  return [...specProblems(config, options), ...exposedSecrets(config, options)].map(({ severity, message }) => ({
    severity,
    message: subject === undefined ? message : `${subject}: ${message}`,
    ...(location && { location }),
  }));
}

function specProblems(config: unknown, { release = [] }: FindingOptions): Finding[] {
  const releases = typeof release === 'string' ? [release] : release;
  const problems = new Set(releases.map((each) => checkSpecVersion(config, each)));
  return [...problems].filter((message) => message !== undefined).map((message) => ({ severity: 'error', message }));
}

function exposedSecrets(config: unknown, { secrets }: FindingOptions): Finding[] {
  if (secrets === 'ignore') return [];
  return findSecrets(config).map(({ kind, path }) => ({
    severity: secrets === 'fail' ? 'error' : 'warning',
    message: `${kind} at ${path}: whoever has the image can read it`,
  }));
}
