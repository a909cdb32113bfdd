import { checkSpecVersion, findSecrets, isEmptyConfig } from '../checks/index.ts';
import { type Finding, FindingsError } from '../io/errors.ts';
import type { Base } from './bases.ts';
import type { RoleConfig } from './compile.ts';

/** What a secret in a config leads to. */
export type SecretsPolicy = 'warn' | 'fail' | 'ignore';

/**
 * Checks the live configs of all roles: that the releases understand their spec, and that they hold no secrets.
 *
 * @returns warnings
 * @throws FindingsError with all that makes the build fail
 */
export function checkConfigs(roles: readonly RoleConfig[], bases: readonly Base[], secrets: SecretsPolicy): string[] {
  const findings = roles.flatMap(({ role, live }) => {
    const config: unknown = JSON.parse(Buffer.from(live).toString('utf8'));
    const told = [...specProblems(config, bases), ...secretsIn(config, secrets)];
    return told.map((finding) => ({ ...finding, message: `role ${role}: ${finding.message}` }));
  });
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new FindingsError("the configs can't be embedded as they are", errors);
  return findings.map(({ message }) => message);
}

/** Without a config there is nothing to embed: an ISO with an empty one would only lose its console login. */
export function isEmpty({ live }: RoleConfig): boolean {
  return isEmptyConfig(JSON.parse(Buffer.from(live).toString('utf8')));
}

function specProblems(config: unknown, bases: readonly Base[]): Finding[] {
  const problems = new Set(bases.map(({ iso }) => checkSpecVersion(config, iso.coreosRelease)));
  return [...problems].filter((message) => message !== undefined).map((message) => ({ severity: 'error', message }));
}

function secretsIn(config: unknown, policy: SecretsPolicy): Finding[] {
  if (policy === 'ignore') return [];
  return findSecrets(config).map(({ kind, path }) => ({
    severity: policy === 'fail' ? 'error' : 'warning',
    message: `${kind} at ${path}: whoever has the image can read it`,
  }));
}
