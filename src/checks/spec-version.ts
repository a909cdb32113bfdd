import { quote } from '../io/errors.ts';
import table from './ignition-releases.json' with { type: 'json' };
import { member, parseIgnition } from './json.ts';
import { dataOf, isDataUrl, type UnpackBudget, unpackBudget } from './resource.ts';

interface Spec {
  readonly name: string;
  readonly minor: number;
  readonly experimental: boolean;
}

const MAX_NESTING = 8;
const specs = table.specs.map(({ spec, since }) => ({ spec, since, date: Number(since.split('.')[1]) }));
const newestSpec = specs.length - 1;

/**
 * Whether a Fedora CoreOS release understands the spec of an Ignition config, and of the configs that it merges or is
 * replaced by, as far as they are carried in it.
 *
 * @param release such as `43.20260301.3.0`; one of any other form, or newer than the table, is taken to understand any 3.x
 * @returns what is wrong and how to mend it, in a sentence; undefined if nothing is
 */
export function checkSpecVersion(config: unknown, release: string): string | undefined {
  return checkNested(config, release, 'the Ignition config', 0, unpackBudget());
}

function checkNested(config: unknown, release: string, subject: string, nesting: number, budget: UnpackBudget) {
  let problem = problemOf(member(config, 'ignition', 'version'), release, subject);
  for (const [path, resource] of nesting < MAX_NESTING ? mergedConfigs(config) : []) {
    if (problem) break;
    const source = member(resource, 'source');
    const data = isDataUrl(source) ? dataOf(source, member(resource, 'compression'), budget) : undefined;
    const nested = data && parseIgnition(data.toString('utf8'));
    if (nested) problem = checkNested(nested, release, `${subject} at ${path}`, nesting + 1, budget);
  }
  return problem;
}

function mergedConfigs(config: unknown): [path: string, resource: unknown][] {
  const merged = member(config, 'ignition', 'config', 'merge');
  const list: unknown[] = Array.isArray(merged) ? merged : [];
  const paths = list.map((resource, index): [string, unknown] => [`$.ignition.config.merge[${index}]`, resource]);
  return [...paths, ['$.ignition.config.replace', member(config, 'ignition', 'config', 'replace')]];
}

function problemOf(version: unknown, release: string, subject: string): string | undefined {
  if (version === undefined || version === null) {
    return `${subject} has no "ignition.version": give it the spec that it is written for, such as 3.4.0, or compile it from Butane`;
  }
  if (typeof version === 'string' && /^[12]\.\d+\.\d+/.test(version)) {
    return `${subject} uses Ignition spec ${quote(version)}, which Fedora CoreOS has never understood: rewrite it for spec 3.0.0 or newer, best in Butane`;
  }
  const spec = parseSpec(version);
  if (spec) return tooNew(spec, release, subject);
  return `${subject} has the "ignition.version" ${quote(version)}, which is no Ignition spec: take one such as 3.4.0`;
}

function parseSpec(version: unknown): Spec | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.0(-experimental)?$/.exec(typeof version === 'string' ? version : '');
  if (!match) return undefined;
  const [name, major, minor, experimental] = match;
  // A later major spec is newer than every 3.x.
  return { name, minor: Number(minor) + (Number(major) - 3) * 1000, experimental: experimental !== undefined };
}

function tooNew(spec: Spec, release: string, subject: string): string | undefined {
  const uses = `${subject} uses Ignition spec ${spec.name}`;
  const newest = newestUnderstood(release);
  if (spec.experimental && spec.minor <= (newest ?? newestSpec)) {
    return `${uses}, which is accepted no more since ${specs[spec.minor]?.spec} is stable: take that, with the stable version of the Butane spec`;
  }
  // An experimental spec is understood from the stable one before it on.
  if (newest === undefined || spec.minor <= newest + (spec.experimental ? 1 : 0)) return undefined;
  const understood = newest < 0 ? 'no spec 3.x yet' : `specs up to ${specs[newest]?.spec}`;
  const older =
    newest < 0 ? '' : `an older Butane version in the Butane file (for Ignition ${specs[newest]?.spec}), or `;
  const since = specs[spec.minor]?.since;
  return `${uses}, but Fedora CoreOS ${release} understands ${understood}: take ${older}${since ? `a release from ${since} on` : 'a newer release'}`;
}

/** The minor version of the newest 3.x spec that a release understands, -1 for none; undefined if that isn't known. */
function newestUnderstood(release: string): number | undefined {
  const date = Number(/^\d+\.(\d{8})\.(?:dev)?\d+(?:\.(?:dev)?\d+)?$/.exec(release)?.[1]);
  if (Number.isNaN(date) || date > table.knownUntil) return undefined;
  return specs.findLastIndex((spec) => spec.date <= date);
}
