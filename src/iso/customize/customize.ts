import { basename } from 'node:path';
import { isEmptyConfig } from '../../checks/index.ts';
import { messageOf, quote } from '../../io/errors.ts';
import { CONFIG_PATH, NETWORK_FOLDER } from '../embed.ts';
import type { Features } from '../features.ts';
import { consolesAmong, normalizeConsole } from './console.ts';
import { checkAuthorities, checkIgnition, checkKeyfile, checkScript, type NamedFile } from './file-kinds.ts';
import { IgnitionWrapper, WRAPPER_SPECS, type WrapperSpec } from './ignition-wrapper.ts';
import { type HookKind, installHook } from './install-hook.ts';
import { checkInstallerConfig, type InstallerConfigFacts, installerConfigYaml } from './installer-config.ts';

/** What coreos-installer's `iso customize` and `pxe customize` take in common. */
export interface Customization {
  readonly liveIgnition: readonly NamedFile[];
  readonly destIgnition: readonly NamedFile[];
  readonly destDevice?: string | undefined;
  readonly destConsoles: readonly string[];
  readonly destArgumentsAppend: readonly string[];
  readonly destArgumentsDelete: readonly string[];
  readonly networkKeyfiles: readonly NamedFile[];
  readonly authorities: readonly NamedFile[];
  readonly preInstall: readonly NamedFile[];
  readonly postInstall: readonly NamedFile[];
  readonly installerConfigs: readonly NamedFile[];
}

/** The image that is customised, for what it understands and for messages. */
export interface CustomizeTarget {
  readonly name: string;
  readonly coreosRelease: string;
  readonly features: Features;
  /** Spec of the configs that are written here; the image has to understand it. 3.3.0 if not given. */
  readonly wrapperSpec?: WrapperSpec;
}

/** What goes to the image, and what its user should know. */
export interface CustomizeResult {
  /** Files for the archive, by path. */
  readonly files: Map<string, Uint8Array>;
  readonly warnings: readonly string[];
  readonly notices: readonly string[];
}

const DEST_CONFIG = '/etc/coreos/dest.ign';
const INSTALLER_CONFIGS = '/etc/coreos/installer.d';
const FILE_MODE = 0o600;
const SCRIPT_MODE = 0o700;

/**
 * Makes the files that customise a live image, laid out as coreos-installer does. What runs the installer implies its
 * config on the live side; network settings are then copied to the installed system too.
 *
 * @throws Error naming the input that is of the wrong kind, or the feature that the image lacks
 */
export async function customize(wanted: Customization, target: CustomizeTarget): Promise<CustomizeResult> {
  checkFeatures(wanted, target);
  const warnings: string[] = [];
  const { wrapperSpec = WRAPPER_SPECS[0] } = target;
  const live = new IgnitionWrapper(wrapperSpec);
  const files = new Map<string, Uint8Array>();
  addKeyfiles(files, wanted.networkKeyfiles);
  for (const authority of wanted.authorities) {
    warnings.push(...checkAuthorities(authority));
    live.addAuthority(authority.data);
  }
  for (const script of wanted.preInstall) addHook(live, 'pre', script);
  for (const script of wanted.postInstall) addHook(live, 'post', script);
  const facts = await addInstallerConfigs(live, wanted.installerConfigs);
  const destConfig = destinationConfig(wanted, wrapperSpec);
  if (destConfig) live.addFile(DEST_CONFIG, destConfig, FILE_MODE);
  addOwnInstallerConfig(live, wanted);
  const config = liveConfig(live, wanted.liveIgnition, warnings);
  if (config) files.set(CONFIG_PATH, config);
  warnings.push(...installWarnings(wanted, facts));
  return { files, warnings, notices: notices(wanted) };
}

/** A file that isn't what its option takes. */
export interface FileMistake {
  readonly path: string;
  readonly message: string;
}

/** Finds every file that is of the wrong kind for its option; `customize` stops at the first. */
export async function findFileMistakes(wanted: Customization): Promise<FileMistake[]> {
  const checks: readonly (readonly [readonly NamedFile[], (file: NamedFile) => unknown])[] = [
    [wanted.liveIgnition, checkIgnition],
    [wanted.destIgnition, checkIgnition],
    [wanted.networkKeyfiles, checkKeyfile],
    [wanted.authorities, checkAuthorities],
    [wanted.preInstall, checkScript],
    [wanted.postInstall, checkScript],
    [wanted.installerConfigs, ({ path, data }) => checkInstallerConfig(path, data)],
  ];
  const mistakes: FileMistake[] = [];
  for (const [files, check] of checks) {
    for (const file of files) {
      try {
        await check(file);
      } catch (error) {
        mistakes.push({ path: file.path, message: messageOf(error) });
      }
    }
  }
  return mistakes;
}

function checkFeatures(wanted: Customization, { name, coreosRelease, features }: CustomizeTarget): void {
  const need = (feature: string, supported: boolean, what: string) => {
    if (supported) return;
    const release = coreosRelease === '' ? 'its release' : `release ${coreosRelease}`;
    throw new Error(
      `${name} (${release}) doesn't support ${what}: its features.json lacks "${feature}"; take a newer release`,
    );
  };
  if (wanted.destConsoles.length > 0) {
    need('installer-config-directives.console', features.consoleDirective, 'setting the destination console');
  }
  if (wanted.networkKeyfiles.length > 0) need('live-initrd-network', features.liveNetwork, 'network settings');
  if (runsInstaller(wanted)) need('installer-config', features.installerConfig, 'configuring the installer');
}

/** Whether the live system will run coreos-installer by itself. */
function runsInstaller(wanted: Customization): boolean {
  return hasOwnInstallerConfig(wanted) || wanted.installerConfigs.length > 0;
}

function hasOwnInstallerConfig(wanted: Customization): boolean {
  const { destIgnition, destConsoles, destArgumentsAppend, destArgumentsDelete, destDevice } = wanted;
  const lists = [destIgnition, destConsoles, destArgumentsAppend, destArgumentsDelete];
  return destDevice !== undefined || lists.some(({ length }) => length > 0);
}

function addKeyfiles(files: Map<string, Uint8Array>, keyfiles: readonly NamedFile[]): void {
  for (const keyfile of keyfiles) {
    checkKeyfile(keyfile);
    const path = `${NETWORK_FOLDER}/${basename(keyfile.path)}`;
    if (files.has(path)) {
      throw new Error(`two network keyfiles are named ${quote(basename(keyfile.path))}: rename one of them`);
    }
    files.set(path, keyfile.data);
  }
}

function addHook(live: IgnitionWrapper, kind: HookKind, script: NamedFile): void {
  checkScript(script);
  const { path, unit, contents } = installHook(kind, basename(script.path));
  live.addFile(path, script.data, SCRIPT_MODE);
  live.addUnit(unit, contents);
}

/** Numbered, because the installer reads them in alphabetical order. */
function installerConfigPath(serial: number, name: string): string {
  return `${INSTALLER_CONFIGS}/${String(serial).padStart(4, '0')}-${name}`;
}

async function addInstallerConfigs(
  live: IgnitionWrapper,
  configs: readonly NamedFile[],
): Promise<InstallerConfigFacts> {
  const facts: InstallerConfigFacts[] = [];
  for (const [serial, { path, data }] of configs.entries()) {
    facts.push(await checkInstallerConfig(path, data));
    live.addFile(installerConfigPath(serial, basename(path)), data, FILE_MODE);
  }
  return {
    hasDevice: facts.some(({ hasDevice }) => hasDevice),
    hasIgnition: facts.some(({ hasIgnition }) => hasIgnition),
  };
}

/** One config passes unchanged; several, or one beside certificate authorities, become merges. */
function destinationConfig({ destIgnition, authorities }: Customization, spec: WrapperSpec): Uint8Array | undefined {
  destIgnition.forEach(checkIgnition);
  const [first, ...others] = destIgnition;
  if (first === undefined) return undefined;
  if (others.length === 0 && authorities.length === 0) return first.data;
  const wrapper = new IgnitionWrapper(spec);
  for (const { data } of authorities) wrapper.addAuthority(data);
  for (const { data } of destIgnition) wrapper.addConfig(data);
  return wrapper.toBytes();
}

function addOwnInstallerConfig(live: IgnitionWrapper, wanted: Customization): void {
  const copyNetwork = wanted.networkKeyfiles.length > 0 && runsInstaller(wanted);
  if (!hasOwnInstallerConfig(wanted) && !copyNetwork) return;
  const yaml = installerConfigYaml({
    ignitionFile: wanted.destIgnition.length > 0 ? DEST_CONFIG : undefined,
    consoles: wanted.destConsoles.map(normalizeConsole),
    appendArguments: wanted.destArgumentsAppend,
    deleteArguments: wanted.destArgumentsDelete,
    copyNetwork,
    device: wanted.destDevice,
  });
  const path = installerConfigPath(wanted.installerConfigs.length, 'customize.yaml');
  live.addFile(path, Buffer.from(yaml), FILE_MODE);
}

/** The live system sees a config even when it is empty, and then gives no console login: so none is embedded. */
function liveConfig(live: IgnitionWrapper, configs: readonly NamedFile[], warnings: string[]): Uint8Array | undefined {
  const filled = configs.filter((file) => {
    if (!isEmptyConfig(checkIgnition(file))) return true;
    warnings.push(
      `${file.path} is an empty config and is left out: with it the live system would have no automatic console login`,
    );
    return false;
  });
  const [only] = filled;
  if (only && filled.length === 1 && live.isEmpty) return only.data;
  for (const { data } of filled) live.addConfig(data);
  return live.isEmpty ? undefined : live.toBytes();
}

function installWarnings(wanted: Customization, facts: InstallerConfigFacts): string[] {
  const scripts = wanted.preInstall.length + wanted.postInstall.length;
  if (!runsInstaller(wanted)) {
    return scripts > 0 ? ['pre- and post-install scripts run only with the installer, which nothing starts'] : [];
  }
  const hasDevice = wanted.destDevice !== undefined || facts.hasDevice;
  const hasIgnition = wanted.destIgnition.length > 0 || facts.hasIgnition;
  if (!hasDevice) {
    return [
      'there is a configuration for the installer, but no destination device: the boot will stop with an error; set "dest-device"',
    ];
  }
  if (!hasIgnition) {
    return [
      'there is a destination device, but no destination config: the installed system will have no users; set "dest-ignition"',
    ];
  }
  return [];
}

function notices(wanted: Customization): string[] {
  const result: string[] = [];
  if (wanted.destDevice !== undefined) {
    result.push(`the boot medium will install to ${quote(wanted.destDevice)} without asking`);
  } else if (runsInstaller(wanted)) result.push('the boot medium will run the installer by itself');
  const consoles = consolesAmong(wanted.destArgumentsAppend);
  if (consoles.length > 0) {
    result.push(
      `"dest-console" instead of "dest-karg-append" would set the boot loader's console too: ${consoles.join(', ')}`,
    );
  }
  return result;
}
