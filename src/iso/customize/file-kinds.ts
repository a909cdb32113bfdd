import { X509Certificate } from 'node:crypto';
import { quote } from '../../io/errors.ts';
import { isRecord } from '../metadata.ts';

/** A file as the user named it, with its contents. */
export interface NamedFile {
  readonly path: string;
  readonly data: Uint8Array;
}

/** Says in a few words what a file looks like, for errors about the wrong kind of file. */
export function describeKind(data: Uint8Array): string {
  const text = textOf(data);
  if (data.length === 0) return 'is empty';
  if (text === undefined) return 'is a binary file';
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) return 'is a private key';
  if (/-----BEGIN [A-Z0-9 ]*CERTIFICATE-----/.test(text)) return 'is a certificate';
  if (text.startsWith('#!')) return 'is a script';
  const json = parseJson(text);
  if (isRecord(json)) return isRecord(json.ignition) ? 'is an Ignition config' : 'is JSON';
  if (/^variant:\s*\S/m.test(text)) return 'is a Butane config';
  if (/^\[[^\]\n]+\]\s*$/m.test(text)) return 'is a keyfile';
  if (/^(interfaces|routes|dns-resolver):/m.test(text)) return 'is an nmstate document';
  if (/^(---|[\w-]+:(\s|$))/m.test(text)) return 'is YAML';
  return 'is a text of some other kind';
}

/**
 * Checks an Ignition config as far as any version of it can be checked.
 *
 * @returns the parsed config
 * @throws Error naming the file and what it is instead
 */
export function checkIgnition({ path, data }: NamedFile): Record<string, unknown> {
  const json = parseJson(textOf(data) ?? '');
  if (isRecord(json) && isRecord(json.ignition) && typeof json.ignition.version === 'string') return json;
  if (isRecord(json)) {
    throw new Error(`${quote(path)} is no Ignition config: it lacks "ignition.version"`);
  }
  const kind = describeKind(data);
  const fix = kind === 'is a Butane config' ? '; compile it first, with "k4all generate-ignition"' : '';
  throw new Error(`${quote(path)} ${kind}, not an Ignition config (JSON)${fix}`);
}

/**
 * Checks a NetworkManager keyfile: groups in brackets, and in them `key=value`.
 *
 * @throws Error naming the file and what it is instead
 */
export function checkKeyfile({ path, data }: NamedFile): void {
  const text = textOf(data);
  const lines = (text ?? '').split('\n').map((line) => line.trim());
  const content = lines.filter((line) => line !== '' && !line.startsWith('#') && !line.startsWith(';'));
  const [first] = content;
  const valid =
    first !== undefined && isGroup(first) && content.every((line) => isGroup(line) || /^[^\s=][^=]*=/.test(line));
  if (valid) return;
  const kind = describeKind(data);
  const hint = kind === 'is an nmstate document' ? '; convert it with "nmstatectl gc", whose results are keyfiles' : '';
  const found = kind === 'is a keyfile' ? 'is damaged' : kind;
  throw new Error(
    `${quote(path)} ${found}; a NetworkManager keyfile is needed, with groups such as [connection] and key=value lines${hint}`,
  );
}

function isGroup(line: string): boolean {
  return /^\[[^[\]]+\]$/.test(line);
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g;

/**
 * Checks a bundle of PEM certificates.
 *
 * @returns warnings about certificates that can't be read
 * @throws Error naming the file if it holds a private key, or no certificate
 */
export function checkAuthorities({ path, data }: NamedFile): string[] {
  const text = textOf(data) ?? '';
  const blocks = [...text.matchAll(PEM_BLOCK)];
  const key = blocks.find(([, label = '']) => label.endsWith('PRIVATE KEY'));
  if (key) {
    throw new Error(
      `${quote(path)} holds a private key; an Ignition CA is a certificate in PEM form, and the key stays secret`,
    );
  }
  const certificates = blocks.filter(([, label = '']) => label.endsWith('CERTIFICATE'));
  if (certificates.length === 0) {
    throw new Error(`${quote(path)} ${describeKind(data)}; an Ignition CA is a certificate in PEM form`);
  }
  const unreadable = certificates.filter(([block]) => !isCertificate(block));
  return unreadable.map(() => `${path} holds a certificate that can't be read: Ignition will stop at it`);
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).subject !== undefined;
  } catch {
    return false;
  }
}

const ELF_MAGIC = '\x7fELF';

/**
 * Checks a pre- or post-install script: systemd starts it directly, so the kernel has to know how.
 *
 * @throws Error naming the file and what it is instead
 */
export function checkScript({ path, data }: NamedFile): void {
  const start = Buffer.from(data.subarray(0, 4)).toString('latin1');
  if (start.startsWith('#!') || start === ELF_MAGIC) return;
  throw new Error(
    `${quote(path)} ${describeKind(data)}, not a script: its first line has to name an interpreter, as in #!/bin/bash`,
  );
}

function textOf(data: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(data);
    return text.includes('\0') ? undefined : text;
  } catch {
    return undefined;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
