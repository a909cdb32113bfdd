import { resolve } from 'node:path';
import { checkSpecVersion, findSecrets } from '../../checks/index.ts';
import type { Host } from '../../host/host.ts';
import { type Finding, FindingsError } from '../../io/errors.ts';
import { type Customization, checkIgnition } from '../../iso/index.ts';
import type { EmbedInputs } from '../embed-ignition.ts';

/**
 * Checks every Ignition config: that the release understands its spec, and, as `secrets` says, that it holds none.
 *
 * @throws FindingsError with all that is wrong
 */
export async function checkConfigs(
  { liveIgnition, destIgnition }: Customization,
  coreosRelease: string,
  secrets: EmbedInputs['secrets'],
  host: Host,
): Promise<void> {
  const findings: Finding[] = [];
  for (const file of [...liveIgnition, ...destIgnition]) {
    const config = checkIgnition(file);
    const location = { file: resolve(host.cwd, file.path) };
    const problem = checkSpecVersion(config, coreosRelease);
    if (problem) findings.push({ severity: 'error', message: problem, location });
    if (secrets === 'ignore') continue;
    for (const secret of findSecrets(config)) {
      const message = `${secret.kind} at ${secret.path}: whoever has the image can read it`;
      findings.push({ severity: secrets === 'fail' ? 'error' : 'warning', message, location });
    }
  }
  if (findings.some(({ severity }) => severity === 'error')) {
    throw new FindingsError("the configs can't be embedded as they are", findings);
  }
  findings.forEach(host.report);
}
