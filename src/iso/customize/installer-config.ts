import { quote } from '../../io/errors.ts';
import { isRecord } from '../metadata.ts';

const TEXT_KEYS = [
  'stream',
  'image-url',
  'image-file',
  'ignition-file',
  'ignition-url',
  'ignition-hash',
  'architecture',
  'platform',
  'network-dir',
  'stream-base-url',
  'fetch-retries',
  'dest-device',
];
const LIST_KEYS = ['console', 'append-karg', 'delete-karg', 'save-partlabel', 'save-partindex'];
const FLAG_KEYS = ['copy-network', 'offline', 'insecure', 'insecure-ignition', 'preserve-on-error', 'secure-ipl'];

/** What a config of the user says about config and device. */
export interface InstallerConfigFacts {
  readonly hasDevice: boolean;
  readonly hasIgnition: boolean;
}

/**
 * Checks a config file for `coreos-installer install`: YAML with the names of its long options.
 *
 * @throws Error naming the file and what is wrong
 */
export async function checkInstallerConfig(path: string, data: Uint8Array): Promise<InstallerConfigFacts> {
  const { parseDocument } = await import('yaml');
  const fail = (reason: string) =>
    new Error(`the installer config ${quote(path)} ${reason}; it takes YAML such as "dest-device: /dev/sda"`);
  const document = parseDocument(Buffer.from(data).toString('utf8'), { version: '1.1', merge: false });
  const [error] = document.errors;
  if (error) throw fail(`is not YAML: ${error.message.split('\n')[0]}`);
  const config = document.toJS({ maxAliasCount: 100 }) as unknown;
  if (!isRecord(config)) throw fail('is not a mapping of option names to values');
  for (const [key, value] of Object.entries(config)) {
    const problem = problemOf(key, value);
    if (problem) throw fail(problem);
  }
  return {
    hasDevice: typeof config['dest-device'] === 'string',
    hasIgnition: typeof config['ignition-file'] === 'string' || typeof config['ignition-url'] === 'string',
  };
}

function problemOf(key: string, value: unknown): string | undefined {
  if (TEXT_KEYS.includes(key))
    return isScalar(value) || value === null ? undefined : `has a ${quote(key)} that is not a text`;
  if (FLAG_KEYS.includes(key))
    return typeof value === 'boolean' ? undefined : `has a ${quote(key)} that is not true or false`;
  if (!LIST_KEYS.includes(key)) return `has the unknown option ${quote(key)}`;
  return Array.isArray(value) && value.every(isScalar) ? undefined : `has a ${quote(key)} that is not a list of texts`;
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}

/** The installer config that we write ourselves. */
export interface InstallerOptions {
  readonly ignitionFile?: string | undefined;
  readonly consoles: readonly string[];
  readonly appendArguments: readonly string[];
  readonly deleteArguments: readonly string[];
  readonly copyNetwork: boolean;
  readonly device?: string | undefined;
}

/** Writes an installer config, laid out as coreos-installer does. */
export function installerConfigYaml(options: InstallerOptions): string {
  const lines: string[] = [];
  const list = (key: string, values: readonly string[]) => {
    if (values.length > 0) lines.push(`${key}:`, ...values.map((value) => `- ${yamlScalar(value)}`));
  };
  if (options.ignitionFile !== undefined) lines.push(`ignition-file: ${yamlScalar(options.ignitionFile)}`);
  list('console', options.consoles);
  list('append-karg', options.appendArguments);
  list('delete-karg', options.deleteArguments);
  if (options.copyNetwork) lines.push('copy-network: true');
  if (options.device !== undefined) lines.push(`dest-device: ${yamlScalar(options.device)}`);
  return `${lines.join('\n')}\n`;
}

/** What a YAML reader would take for something other than a text: null, booleans, numbers. */
const OTHER_TYPE =
  /^(~|null|true|false|y|n|yes|no|on|off|[-+]?(\.inf|\.nan)|[-+]?(0x[0-9a-f]+|0o[0-7]+|0b[01]+|[\d_]*\.?[\d_]*(e[-+]?\d+)?))$/i;
/** Indicators that a plain text can't begin with, or contain at all (YAML 1.2, 5.3 and 7.3.3). */
const NOT_PLAIN = /^[#,[\]{}&*!|>'"%@`]|^[-?:](\s|$)|^---|^\.\.\.|^\s|\s$|:(\s|$)|\s#/;

/** A text as a YAML scalar: plain where that reads back as the same text, else in single or double quotes. */
function yamlScalar(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what single quotes can't express
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff]/.test(text)) return JSON.stringify(text);
  if (text === '' || OTHER_TYPE.test(text) || NOT_PLAIN.test(text)) return `'${text.replaceAll("'", "''")}'`;
  return text;
}
