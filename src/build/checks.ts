import { configFindings, isEmptyConfig, type SecretsPolicy } from '../checks/index.ts';
import { FindingsError } from '../io/errors.ts';
import type { Base } from './bases.ts';
import type { RoleConfig } from './compile.ts';

/**
 * Checks the live configs of all roles: that the releases understand their spec, and that they hold no secrets.
 *
 * @returns warnings
 * @throws FindingsError with all that makes the build fail
 */
export function checkConfigs(roles: readonly RoleConfig[], bases: readonly Base[], secrets: SecretsPolicy): string[] {
  const release = bases.map(({ iso }) => iso.coreosRelease);
  const findings = roles.flatMap(({ role, live }) =>
    configFindings(parse(live), { release, secrets, subject: `role ${role}` }),
  );
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new FindingsError("the configs can't be embedded as they are", errors);
  return findings.map(({ message }) => message);
}

/** Without a config there is nothing to embed: an ISO with an empty one would only lose its console login. */
export function isEmpty({ live }: RoleConfig): boolean {
  return isEmptyConfig(parse(live));
}

function parse(config: Uint8Array): unknown {
  return JSON.parse(Buffer.from(config).toString('utf8'));
}
