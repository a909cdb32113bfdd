import { quote } from '../io/errors.ts';
import { sha256 } from '../io/hash.ts';
import { noProgress } from '../io/progress.ts';
import { withRetries } from '../io/retry.ts';
import { CHECKSUMS } from './asset-name.ts';
import { type Checksum, checksumsText } from './checksums.ts';
import { assertOnlyDraft } from './draft.ts';
import type { Asset, GitHub, Release, ReleaseFields } from './github.ts';
import type { ReleaseLog } from './log.ts';
import type { SplitFile } from './notes.ts';
import { pause } from './pause.ts';
import { MAX_ASSETS, PART_SIZE } from './plan.ts';
import { downloadedSha256 } from './transfer.ts';
import { LIST_DELAYS, listUntil, uploadText, wholeDigest } from './upload.ts';
import { compareVersions, hasPrereleasePart, parseVersion } from './version.ts';

/** So many assets are asked for one by one; a job's token has 1,000 requests per hour. */
const MAX_CONFIRMED = 200;

/** Digests that this process knows because it sent the bytes: by asset name, and of split files by the joined name. */
export type KnownDigests = ReadonlyMap<string, string>;

/** Everything in a release, with digests, ready to be listed. */
export interface Inventory {
  /** The assets without `SHA256SUMS`. */
  readonly assets: readonly (Asset & { readonly sha256: string })[];
  readonly splits: readonly (SplitFile & { readonly sha256: string })[];
}

/**
 * Takes stock of a draft that is to be published.
 *
 * @param expected names that must be there, and nothing else; without any, whatever is there counts
 * @throws Error that lists what is missing, unfinished or too much
 */
export async function takeStock(
  github: GitHub,
  release: Release,
  expected: readonly string[],
  known: KnownDigests,
  log: ReleaseLog,
): Promise<Inventory> {
  const names = new Set(expected);
  const listed = await currentAssets(github, release, expected, known);
  const assets = listed.filter(({ name }) => name !== CHECKSUMS);
  const there = wholeNames(assets);
  const problems = [
    ...expected.filter((name) => !there.has(name)).map((name) => `missing: ${name}`),
    ...assets.filter((asset) => isUploaded(asset) && expected.length > 0 && !names.has(asset.name)).map(tooMuch),
    ...assets.filter((asset) => !isUploaded(asset) && expected.length === 0).map(({ name }) => `unfinished: ${name}`),
    ...(assets.length >= MAX_ASSETS
      ? [`${assets.length} assets and ${CHECKSUMS}, but GitHub takes ${MAX_ASSETS}`]
      : []),
  ];
  if (problems.length > 0) {
    const list = problems.map((problem) => `  ${problem}`).join('\n');
    throw new Error(`the draft ${release.id} of ${quote(release.tag_name)} is not published:\n${list}`);
  }
  for (const asset of assets.filter((asset) => !isUploaded(asset))) {
    log.info(`${asset.name}: an unfinished upload that nobody expects is removed`);
    await github.deleteAsset(asset);
  }
  return inventory(github, assets.filter(isUploaded), known);
}

/**
 * The draft's assets as they are, not as a list that lags behind shows them: all that is expected, with the digests that
 * are known here; what another job uploaded is asked for one by one.
 */
async function currentAssets(
  github: GitHub,
  release: Release,
  expected: readonly string[],
  known: KnownDigests,
): Promise<Asset[]> {
  const enough = (assets: readonly Asset[]) => {
    const there = wholeNames(
      assets.filter(({ name, digest }) => !known.has(name) || isDigest(digest, known.get(name))),
    );
    return expected.every((name) => there.has(name));
  };
  let listed: Asset[] = [];
  for (const delay of LIST_DELAYS) {
    await pause(delay * github.second, github.options.signal);
    listed = await listUntil(github, release.id, enough);
    const unknown = listed.filter(({ name }) => !known.has(name)).slice(0, MAX_CONFIRMED);
    const current = await Promise.all(unknown.map(({ id }) => github.asset(id)));
    if (!enough(listed) || current.every((asset, i) => asset?.digest === unknown[i]?.digest)) break;
  }
  return listed;
}

function isDigest(digest: string | null | undefined, sha256: string | undefined): boolean {
  return !digest || digest === `sha256:${sha256}`;
}

function wholeNames(assets: readonly Asset[]): Set<string> {
  return new Set(assets.filter(isUploaded).map(({ name }) => name));
}

/** Digests of all assets, by name, and of the files that some of them are parts of. */
export async function inventory(github: GitHub, assets: readonly Asset[], known: KnownDigests): Promise<Inventory> {
  const listed: (Asset & { sha256: string })[] = [];
  const sorted = [...assets].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const asset of sorted) listed.push({ ...asset, sha256: await digestOf(github, asset, known) });
  const splits: (SplitFile & { sha256: string })[] = [];
  for (const [name, parts] of partsByWhole(assets)) {
    const digest = known.get(name) ?? wholeDigest(parts[0]?.label) ?? (await downloadedSha256(github, parts));
    splits.push({ name, parts: parts.map((part) => part.name), sha256: digest });
  }
  return { assets: listed, splits };
}

/** Uploads the release's own `SHA256SUMS`: every asset, and every file that is here in parts. */
export async function uploadChecksums(
  github: GitHub,
  release: Release,
  { assets, splits }: Inventory,
  log: ReleaseLog,
): Promise<Asset & { readonly sha256: string }> {
  const lines: Checksum[] = [...assets, ...splits];
  const text = checksumsText(lines);
  const stored = await uploadText({ github, release, log, progress: noProgress }, CHECKSUMS, text, sha256(text));
  return { ...stored.asset, sha256: stored.sha256 };
}

/**
 * Turns the draft into a release, as the very last step. An answer that is lost is looked up, not repeated: an immutable
 * release takes no second one.
 */
export async function publishDraft(github: GitHub, draft: Release, fields: ReleaseFields): Promise<Release> {
  await assertOnlyDraft(github, draft);
  return withRetries(
    async (attempt) => {
      const current = attempt > 1 ? await github.release(draft.id) : draft;
      if (!current.draft) return current;
      return github.updateRelease(draft.id, { tag_name: draft.tag_name, ...fields, draft: false }, { retry: false });
    },
    { signal: github.options.signal, firstWait: github.second },
  );
}

/**
 * Whether a release becomes the repository's latest: never a prerelease, and else only the highest stable version. A tag
 * that is no version leaves it to GitHub.
 */
export async function latestRule(
  github: GitHub,
  tag: string,
  prerelease: boolean,
  asked: boolean | undefined,
): Promise<'true' | 'false' | 'legacy'> {
  if (prerelease) return 'false';
  if (asked !== undefined) return asked ? 'true' : 'false';
  const version = parseVersion(tag);
  if (!version) return hasPrereleasePart(tag) ? 'false' : 'legacy';
  const stable = (await github.releases())
    .filter((release) => !release.draft && !release.prerelease)
    .map(({ tag_name }) => parseVersion(tag_name))
    .filter((other) => other !== undefined && other.label === undefined);
  return stable.every((other) => other === undefined || compareVersions(other, version) <= 0) ? 'true' : 'false';
}

export function isUploaded({ state }: Asset): boolean {
  return state === 'uploaded';
}

function tooMuch({ name }: Asset): string {
  return `not expected: ${name} (delete it from the draft, or add it)`;
}

/** Lower-case hex; an asset without a digest on the server and unknown here is read once. */
async function digestOf(github: GitHub, asset: Asset, known: KnownDigests): Promise<string> {
  const [, hex] = /^sha256:([0-9a-f]{64})$/.exec(asset.digest ?? '') ?? [];
  return hex ?? known.get(asset.name) ?? downloadedSha256(github, [asset]);
}

/** Assets that are parts of one file: numbered from 1, all but the last of the full size. */
function partsByWhole(assets: readonly Asset[]): Map<string, Asset[]> {
  const groups = new Map<string, Asset[]>();
  for (const asset of assets) {
    const [, whole = '', number = ''] = /^(.+)\.part(\d{2,})$/.exec(asset.name) ?? [];
    if (whole === '' || Number(number) < 1 || Number(number) > MAX_ASSETS) continue;
    const group = groups.get(whole) ?? [];
    group[Number(number) - 1] = asset;
    groups.set(whole, group);
  }
  return new Map([...groups].filter(([, parts]) => areParts(parts)));
}

function areParts(parts: readonly (Asset | undefined)[]): boolean {
  const last = parts.length - 1;
  return last > 0 && Array.from(parts).every((part, i) => part && (i === last || part.size === PART_SIZE));
}
