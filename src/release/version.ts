import semver from 'semver';

/** Prerelease labels where the user names no others. */
export const DEFAULT_LABELS: readonly string[] = ['alpha', 'beta', 'rc'];
/** What `channel` says of releases and drafts, so that no label may have these names. */
export const CHANNELS = { release: 'stable', draft: 'draft' } as const;

/** A tag that is a version. */
export interface Version {
  /** As it is written: with or without a leading `v`. */
  readonly text: string;
  /** Without the `v`: valid SemVer, build metadata included. */
  readonly semver: string;
  /** The prerelease label; undefined for a release. */
  readonly label: string | undefined;
}

/**
 * Reads a tag as a version: `X.Y.Z` of SemVer 2.0.0, with or without a leading `v`, whose first prerelease identifier,
 * if there is one, is a label alone or followed by digits.
 *
 * @returns undefined for anything else
 */
export function parseVersion(text: string, labels: readonly string[] = DEFAULT_LABELS): Version | undefined {
  const strict = parseSemver(text);
  if (!strict) return undefined;
  const [first] = strict.prerelease;
  const label = first === undefined ? undefined : labelOf(String(first), labels);
  if (first !== undefined && label === undefined) return undefined;
  return { text, semver: text.replace(/^v/, ''), label };
}

/**
 * Whether a version is a prerelease where classify-version would say so. A version that isn't one of its accepted forms
 * (`dev`, `nightly-7`) is no prerelease.
 */
export function prereleaseOf(version: string, labels: readonly string[] = DEFAULT_LABELS): boolean {
  return parseVersion(version, labels)?.label !== undefined;
}

/** Precedence of two versions as SemVer 2.0.0 (11) orders them; build metadata plays no part. */
export function compareVersions(a: Version, b: Version): number {
  return semver.compare(a.semver, b.semver);
}

/** Whether a tag is SemVer with any prerelease part, listed label or not. */
export function hasPrereleasePart(tag: string): boolean {
  return (parseSemver(tag)?.prerelease.length ?? 0) > 0;
}

/** `X.Y.Z` of a version. */
export function coreOf(version: Version): string {
  const { major, minor, patch } = new semver.SemVer(version.semver);
  return `${major}.${minor}.${patch}`;
}

/** What the library takes beyond the specification (spaces, a second `v`) is refused. */
function parseSemver(text: string): semver.SemVer | undefined {
  const bare = text.replace(/^v/, '');
  const parsed = semver.parse(bare);
  if (!parsed) return undefined;
  const canonical = [parsed.version, ...(parsed.build.length > 0 ? [parsed.build.join('.')] : [])].join('+');
  return canonical === bare ? parsed : undefined;
}

/** The longest label that the identifier is, alone or followed by digits. */
function labelOf(identifier: string, labels: readonly string[]): string | undefined {
  return labels
    .filter((label) => identifier.startsWith(label) && /^\d*$/.test(identifier.slice(label.length)))
    .sort((a, b) => b.length - a.length)[0];
}
