import { isObject, member, parseIgnition } from './json.ts';
import { isPasswordHash, isPlaceholder, secretKinds } from './patterns.ts';
import { dataOf, isDataUrl, type UnpackBudget, unpackBudget } from './resource.ts';

/** Where a secret is and what kind of secret; never the secret itself. */
export interface Secret {
  /** Such as `$.passwd.users[0].passwordHash`; inside of a config carried in another `outer path → inner path`. */
  readonly path: string;
  readonly kind: string;
}

/** Where the search is: configs nest in configs, and values in values. */
interface Place {
  readonly path: string;
  readonly nesting: number;
  readonly depth: number;
  readonly budget: UnpackBudget;
}

/** Configs in configs; the base, role and live configs of a build make three. */
const MAX_NESTING = 8;
/** Values in values; the deepest that Ignition knows are below 12. */
const MAX_DEPTH = 64;
/** The keys of Ignition's own are words. */
const CONFIG_KEY = /^[a-z][A-Za-z]{0,31}$/;

/**
 * The password hashes, private keys and tokens in an Ignition config: in its values, in the contents that it carries as
 * `data:` URLs, and in the Ignition configs among those. Compressed contents are searched until 64 MiB were unpacked,
 * configs in configs 8 deep.
 *
 * @returns each kind once per path, in the order of the config
 */
export function findSecrets(config: unknown): Secret[] {
  return [...inValue(config, undefined, { path: '$', nesting: 0, depth: 0, budget: unpackBudget() })];
}

function* inValue(value: unknown, parent: unknown, place: Place): Generator<Secret> {
  if (typeof value === 'string') yield* inString(value, parent, place);
  else if (typeof value === 'object' && value !== null && place.depth < MAX_DEPTH) yield* inMembers(value, place);
}

function* inMembers(value: object, place: Place): Generator<Secret> {
  const isList = Array.isArray(value);
  for (const [key, part] of Object.entries(value)) {
    const inside = { ...place, path: place.path + step(key, isList), depth: place.depth + 1 };
    if (!isList && !CONFIG_KEY.test(key)) yield* found(secretKinds(key), inside.path);
    const kind = kindByName(value, key, part);
    // What the name tells needs no second finding by the looks of the value.
    if (kind) yield { path: inside.path, kind };
    else if (key === 'keyFile') yield* inKeyFile(part, inside);
    else yield* inValue(part, value, inside);
  }
}

/** Any other key than Ignition's is not repeated, as it may be a secret itself. */
function step(key: string, isList: boolean): string {
  if (isList) return `[${key}]`;
  return CONFIG_KEY.test(key) ? `.${key}` : '[?]';
}

/** The kind of secret that a value is by its place in the config, whatever it looks like. */
function kindByName(parent: object, key: string, value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  if (key === 'passwordHash' && isPasswordHash(value)) return 'password hash';
  if (key === 'value' && isCredentialHeader(member(parent, 'name')) && !isPlaceholder(value)) return 'HTTP credentials';
  return hasPassword(value) ? 'password in a URL' : undefined;
}

function isCredentialHeader(name: unknown): boolean {
  return (
    typeof name === 'string' &&
    /^(?:(?:proxy-)?authorization|cookie|(?:private|job|x-[a-z-]{0,32})-?token)$/i.test(name)
  );
}

function hasPassword(value: string): boolean {
  const [, password] = /^[a-z][a-z0-9+.-]{0,15}:\/\/[^/?#@:\s]{0,255}:([^/?#@\s]{1,255})@/i.exec(value) ?? [];
  return password !== undefined && !isPlaceholder(password);
}

/** The key of a LUKS volume may be any bytes. */
function* inKeyFile(resource: unknown, place: Place): Generator<Secret> {
  const source = member(resource, 'source');
  const isCarried = isDataUrl(source) && !source.endsWith(',');
  if (isCarried) yield { path: `${place.path}.source`, kind: 'LUKS key' };
  const rest = isObject(resource) && isCarried ? { ...resource, source: undefined } : resource;
  yield* inValue(rest, undefined, place);
}

function* inString(value: string, parent: unknown, place: Place): Generator<Secret> {
  if (!isDataUrl(value)) return yield* found(secretKinds(value), place.path);
  const data = dataOf(value, member(parent, 'compression'), place.budget);
  if (!data) return;
  const nested = place.nesting < MAX_NESTING ? parseIgnition(data.toString('utf8')) : undefined;
  if (!nested) return yield* found(secretKinds(data.toString('latin1')), place.path);
  yield* inValue(nested, undefined, { ...place, path: `${place.path} → $`, nesting: place.nesting + 1, depth: 0 });
}

function* found(kinds: readonly string[], path: string): Generator<Secret> {
  for (const kind of kinds) yield { path, kind };
}
