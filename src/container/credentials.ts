import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { hasCode, messageOf, quote } from '../io/errors.ts';

/** What a registry knows a user by. */
export interface Credentials {
  readonly username: string;
  /** A password or token, for Basic auth. */
  readonly password: string;
  /** An OAuth2 refresh token, in place of a password. */
  readonly identityToken?: string;
  /** Where they were found, for messages. */
  readonly from: string;
}

export interface CredentialOptions {
  readonly token?: string | undefined;
  readonly username?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Every place that is looked at, for the message when there is nothing. */
export const CREDENTIAL_SOURCES =
  '"token", GITHUB_TOKEN (ghcr.io only), and the auth files of Podman and Docker (`podman login`, `docker login`)';

/**
 * The credentials for a repository, from the first place that has some: `token`; `GITHUB_TOKEN`, for ghcr.io only;
 * Podman's auth file; Docker's.
 *
 * @param host the registry, as in `ghcr.io` or `127.0.0.1:5000`
 */
export async function findCredentials(
  host: string,
  repository: string,
  { token, username, env }: CredentialOptions,
): Promise<Credentials | undefined> {
  // ghcr.io looks at the token alone, but wants a name too.
  const name = username || env.GITHUB_ACTOR || 'token';
  if (token) return { username: name, password: token, from: '"token"' };
  if (env.GITHUB_TOKEN && host === 'ghcr.io') {
    return { username: name, password: env.GITHUB_TOKEN, from: 'GITHUB_TOKEN' };
  }
  for (const path of authFiles(env)) {
    const file = await readAuthFile(path);
    const found = file && (await fromAuthFile(file, path, host, repository, env));
    if (found && (!username || found.username === username || found.identityToken)) return found;
  }
  return undefined;
}

/** Podman's auth files (containers-auth.json(5)), then Docker's. */
function authFiles(env: CredentialOptions['env']): string[] {
  const home = env.HOME || env.USERPROFILE || homedir();
  const docker = join(env.DOCKER_CONFIG || join(home, '.docker'), 'config.json');
  if (env.REGISTRY_AUTH_FILE) return [env.REGISTRY_AUTH_FILE, docker];
  const runtime = env.XDG_RUNTIME_DIR
    ? join(env.XDG_RUNTIME_DIR, 'containers', 'auth.json')
    : `/run/containers/${process.getuid?.() ?? 0}/auth.json`;
  const config = join(env.XDG_CONFIG_HOME || join(home, '.config'), 'containers', 'auth.json');
  return [...(process.platform === 'linux' ? [runtime] : []), config, docker];
}

interface AuthFile {
  readonly auths: Readonly<Record<string, unknown>>;
  readonly credHelpers: Readonly<Record<string, unknown>>;
  readonly credsStore: unknown;
}

async function readAuthFile(path: string): Promise<AuthFile | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    const file = asObject(value);
    return { auths: asObject(file.auths), credHelpers: asObject(file.credHelpers), credsStore: file.credsStore };
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return undefined;
    // Not the parser's own message: it quotes the text, and the text is secret.
    throw new Error(`the auth file ${path} is not valid JSON: repair it, or give "token"`);
  }
}

async function fromAuthFile(
  file: AuthFile,
  path: string,
  host: string,
  repository: string,
  env: CredentialOptions['env'],
): Promise<Credentials | undefined> {
  const keys = authKeys(host, repository);
  const helper = keys.map((key) => own(file.credHelpers, key)).find((name) => typeof name === 'string');
  if (typeof helper === 'string' && helper) return askHelper(helper, helperKey(host), env);
  for (const key of keys) {
    const found = parseAuth(own(file.auths, key), path);
    if (found) return found;
  }
  if (typeof file.credsStore === 'string' && file.credsStore) return askHelper(file.credsStore, helperKey(host), env);
  return undefined;
}

/** From the most specific to the least: Podman's keys may hold a path, Docker's may be URLs. */
function authKeys(host: string, repository: string): string[] {
  const parts = repository.split('/');
  const paths = parts.map((_, index) => `${host}/${parts.slice(0, parts.length - index).join('/')}`);
  const hub = host === 'registry-1.docker.io' ? ['docker.io', 'https://index.docker.io/v1/', 'index.docker.io'] : [];
  const urls = [`https://${host}`, `https://${host}/`, `http://${host}`, `https://${host}/v1/`, `https://${host}/v2/`];
  return [...paths, host, ...hub, ...urls];
}

function helperKey(host: string): string {
  return host === 'registry-1.docker.io' ? 'https://index.docker.io/v1/' : host;
}

/** An entry of `auths`: `auth` is base64 of `user:password`; `identitytoken` takes the password's place. */
function parseAuth(value: unknown, path: string): Credentials | undefined {
  const { auth, username, password, identitytoken } = asObject(value);
  const decoded = typeof auth === 'string' ? Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '') : '';
  const colon = decoded.indexOf(':');
  const user = colon > 0 ? decoded.slice(0, colon) : asText(username);
  const secret = colon > 0 ? decoded.slice(colon + 1) : asText(password);
  if (typeof identitytoken === 'string' && identitytoken) {
    return { username: user, password: '', identityToken: identitytoken, from: path };
  }
  return user && secret ? { username: user, password: secret, from: path } : undefined;
}

const HELPER_TIMEOUT = 30_000;

/**
 * Asks `docker-credential-<name> get`, which reads the registry from stdin and prints JSON.
 *
 * Source of the protocol: https://github.com/docker/docker-credential-helpers
 */
async function askHelper(
  name: string,
  registry: string,
  env: CredentialOptions['env'],
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  // The name comes from a file and becomes a program's name: no paths.
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw new Error(`${quote(name)} is not the name of a credential helper`);
  const { error, stdout } = await runHelper(program, registry, env);
  if (error) {
    if (/credentials not found/i.test(stdout)) return undefined;
    const reason = hasCode(error, 'ENOENT')
      ? 'is not installed'
      : `failed: ${quote(stdout.trim() || messageOf(error))}`;
    throw new Error(`the credential helper ${program} ${reason}; repair the auth file that names it, or give "token"`);
  }
  const answer = parseHelperAnswer(stdout, program);
  const username = asText(answer.Username);
  const secret = asText(answer.Secret);
  if (!secret) return undefined;
  return username === '<token>'
    ? { username: '', password: '', identityToken: secret, from: program }
    : { username, password: secret, from: program };
}

function runHelper(
  program: string,
  registry: string,
  env: CredentialOptions['env'],
): Promise<{ error: Error | null; stdout: string }> {
  return new Promise((resolve) => {
    const child = execFile(program, ['get'], { env: { ...env }, timeout: HELPER_TIMEOUT }, (error, stdout) =>
      resolve({ error, stdout }),
    );
    // A helper that ends without reading is heard of by its exit code.
    child.stdin?.on('error', () => {});
    child.stdin?.end(`${registry}\n`);
  });
}

function parseHelperAnswer(stdout: string, program: string): Readonly<Record<string, unknown>> {
  try {
    return asObject(JSON.parse(stdout));
  } catch {
    throw new Error(`the credential helper ${program} printed something that is not JSON`);
  }
}

function own(map: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {};
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
