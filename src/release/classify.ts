import { quote, UsageError } from '../io/errors.ts';
import { type Checkout, type NoCheckout, openCheckout } from './git.ts';
import { CHANNELS, compareVersions, coreOf, DEFAULT_LABELS, parseVersion, type Version } from './version.ts';

const MAX_SLUG = 40;
/** Characters of a container tag (OCI distribution specification 1.1, "Pulling manifests"). */
const MAX_CONTAINER_TAG = 128;
const SHORT_COMMIT = 7;

/** What a git ref is released as. */
export interface Classification {
  /** The tag as it is written; for a draft a version made from tag, branch and commit. */
  readonly version: string;
  /** `version` without a leading `v`: always valid SemVer. */
  readonly semver: string;
  readonly prerelease: boolean;
  readonly draft: boolean;
  /** Whether this is the highest stable version of the checkout. */
  readonly makeLatest: boolean;
  /** `stable`, the prerelease label, or `draft`. */
  readonly channel: string;
  readonly containerTags: readonly string[];
  readonly releaseName: string;
}

export interface ClassifyOptions {
  /** A folder of the checkout whose tags and commit count. */
  readonly cwd: string;
  readonly labels?: readonly string[];
  /** The commit's full id, for a draft where there is no checkout (`GITHUB_SHA`). */
  readonly commit?: string | undefined;
  /** Told what couldn't be found out, and what follows from it. */
  readonly warn?: (message: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Says what a git ref is released as: a version tag is a release or a prerelease, a branch or a pull request a draft.
 *
 * @param ref a full name: `refs/tags/…`, `refs/heads/…` or `refs/pull/…`
 * @throws UsageError for any other ref, a tag that is no version, and labels that can't be one
 */
export async function classify(ref: string, options: ClassifyOptions): Promise<Classification> {
  const { labels = DEFAULT_LABELS } = options;
  checkLabels(labels);
  const [, kind, name = ''] = /^refs\/(tags|heads|pull)\/(.+)$/s.exec(ref) ?? [];
  if (kind === undefined) {
    throw new UsageError(
      `"ref" is ${quote(ref)}, which is not the full name of a tag or branch: give refs/tags/NAME, refs/heads/NAME or refs/pull/NUMBER/merge`,
    );
  }
  return kind === 'tags' ? classifyTag(name, labels, options) : classifyDraft(kind, name, labels, options);
}

/** The ref of the checked out branch, where no event says one. */
export async function checkedOutRef(cwd: string): Promise<string | undefined> {
  const checkout = await openCheckout(cwd);
  return 'reason' in checkout ? undefined : checkout.branch();
}

async function classifyTag(tag: string, labels: readonly string[], options: ClassifyOptions): Promise<Classification> {
  const version = parseVersion(tag, labels);
  if (!version) throw new UsageError(`the tag ${quote(tag)} is not a version: ${acceptedForms(labels)}`);
  const prerelease = version.label !== undefined;
  const makeLatest = !prerelease && (await isLatest(version, labels, options));
  const containerTag = containerTagOf(version.text);
  return {
    version: version.text,
    semver: version.semver,
    prerelease,
    draft: false,
    makeLatest,
    channel: version.label ?? CHANNELS.release,
    containerTags: makeLatest ? [containerTag, 'latest'] : [containerTag],
    releaseName: version.text,
  };
}

async function classifyDraft(
  kind: string,
  name: string,
  labels: readonly string[],
  options: ClassifyOptions,
): Promise<Classification> {
  const checkout = await openCheckout(options.cwd, options.signal);
  const slug = slugOf(kind === 'pull' ? `pull/${name}` : name);
  const version = `${await draftBase(checkout, labels, options)}-draft.${slug}.g${await commitOf(checkout, options)}`;
  return {
    version,
    semver: version,
    prerelease: false,
    draft: true,
    makeLatest: false,
    channel: CHANNELS.draft,
    containerTags: [containerTagOf(version)],
    releaseName: version,
  };
}

async function isLatest(version: Version, labels: readonly string[], options: ClassifyOptions): Promise<boolean> {
  const checkout = await openCheckout(options.cwd, options.signal);
  const missing = whyTagsAreMissing(checkout);
  if (missing) {
    options.warn?.(`${missing}, so "make-latest" is false: higher versions can't be ruled out`);
    return false;
  }
  const stable = versionsOf(await (checkout as Checkout).tags(), labels).filter(({ label }) => label === undefined);
  return stable.every((other) => compareVersions(other, version) <= 0);
}

/** `X.Y.Z` of the highest version tag in the history of what is checked out. */
async function draftBase(
  checkout: Checkout | NoCheckout,
  labels: readonly string[],
  { warn }: ClassifyOptions,
): Promise<string> {
  const missing = whyTagsAreMissing(checkout);
  const reachable = 'reason' in checkout ? [] : versionsOf(await checkout.reachableTags(), labels);
  const [newest] = reachable.sort((a, b) => compareVersions(b, a));
  if (missing) warn?.(`${missing}, so the draft's version may start from an older tag than it should, or from 0.0.0`);
  return newest ? coreOf(newest) : '0.0.0';
}

async function commitOf(checkout: Checkout | NoCheckout, { commit }: ClassifyOptions): Promise<string> {
  const checkedOut = 'reason' in checkout ? undefined : await checkout.shortCommit();
  if (checkedOut) return checkedOut;
  if (commit && /^[0-9a-f]{7,64}$/i.test(commit)) return commit.slice(0, SHORT_COMMIT).toLowerCase();
  throw new Error(
    `a draft's version names its commit, but there is none: check out the repository, or set GITHUB_SHA${
      'reason' in checkout ? ` (${checkout.reason})` : ''
    }`,
  );
}

function whyTagsAreMissing(checkout: Checkout | NoCheckout): string | undefined {
  if ('reason' in checkout) return `there is no git checkout whose tags could be looked at (${checkout.reason})`;
  if (checkout.shallow) return 'this is a shallow clone without all tags (check out with `fetch-depth: 0`)';
  return undefined;
}

function versionsOf(tags: readonly string[], labels: readonly string[]): Version[] {
  return tags.map((tag) => parseVersion(tag, labels)).filter((version) => version !== undefined);
}

/** A branch as one SemVer identifier: lower-case letters, digits and hyphens, at most 40 characters. */
function slugOf(branch: string): string {
  const hyphenated = branch.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');
  const slug = hyphenated.replace(/^-/, '').slice(0, MAX_SLUG).replace(/-$/, '');
  if (slug === '') return 'branch';
  // A numeric identifier may not start with a zero (SemVer 2.0.0, 9).
  return /^0\d+$/.test(slug) ? `b${slug}`.slice(0, MAX_SLUG) : slug;
}

function containerTagOf(version: string): string {
  const tag = version.replaceAll('+', '_');
  if (tag.length <= MAX_CONTAINER_TAG) return tag;
  throw new UsageError(
    `the version ${quote(version)} has ${tag.length} characters, but container tags have at most ${MAX_CONTAINER_TAG}`,
  );
}

function checkLabels(labels: readonly string[]): void {
  const reserved: readonly string[] = Object.values(CHANNELS);
  for (const label of labels) {
    if (/^[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*$/.test(label) && !reserved.includes(label)) continue;
    throw new UsageError(
      `"prerelease-labels" holds ${quote(label)}, but a label has letters, digits and hyphens, is not a number, and is not ${reserved.join(' or ')}`,
    );
  }
}

function acceptedForms(labels: readonly string[]): string {
  const examples = labels.flatMap((label) => [`v1.2.3-${label}`, `v1.2.3-${label}.1`, `v1.2.3-${label}1`]);
  const prereleases = examples.length > 0 ? ` for a release, ${examples.join(', ')} for a prerelease` : '';
  return `accepted are v1.2.3${prereleases}, each with or without the v and with or without +build`;
}
