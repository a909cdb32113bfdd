import { resolve } from 'node:path';
import { checkSpecVersion, configFindings, type SecretsPolicy } from '../../checks/index.ts';
import type { Host } from '../../host/host.ts';
import { type Finding, FindingsError } from '../../io/errors.ts';
import {
  type Customization,
  checkIgnition,
  findFileMistakes,
  WRAPPER_SPECS,
  type WrapperSpec,
} from '../../iso/index.ts';

/**
 * Checks every file: that it is what its option takes, for an Ignition config that the release understands its spec, and,
 * as `secrets` says, that it holds none.
 *
 * @throws FindingsError with all that is wrong
 */
export async function checkFiles(
  customization: Customization,
  coreosRelease: string,
  secrets: SecretsPolicy,
  host: Host,
): Promise<void> {
  const locate = (path: string) => ({ file: resolve(host.cwd, path) });
  const mistakes = await findFileMistakes(customization);
  const findings: Finding[] = mistakes.map(({ path, message }) => {
    return { severity: 'error', message, location: locate(path) };
  });
  if (findings.length > 0) throw new FindingsError('there are files of the wrong kind', findings);
  for (const file of [...customization.liveIgnition, ...customization.destIgnition]) {
    const location = locate(file.path);
    findings.push(...configFindings(checkIgnition(file), { release: coreosRelease, secrets, location }));
  }
  if (findings.some(({ severity }) => severity === 'error')) {
    throw new FindingsError("the configs can't be embedded as they are", findings);
  }
  findings.forEach(host.report);
}

/** The newest spec for configs of our own that the release understands. */
export function wrapperSpecFor(coreosRelease: string): WrapperSpec {
  const understood = (version: string) => checkSpecVersion({ ignition: { version } }, coreosRelease) === undefined;
  return WRAPPER_SPECS.find(understood) ?? WRAPPER_SPECS[0];
}
