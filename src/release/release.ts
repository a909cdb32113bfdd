import { quote, UsageError } from '../io/errors.ts';
import type { Progress } from '../io/progress.ts';
import { CHECKSUMS } from './asset-name.ts';
import { BUILD_INFO, coreosReleasesOf, MAX_BUILD_INFO } from './coreos-releases.ts';
import { createDraft, findRelease } from './draft.ts';
import { type Asset, GitHub, type GitHubOptions, type Release, type ReleaseFields } from './github.ts';
import type { ReleaseLog } from './log.ts';
import { composeNotes, ownBody, withMarker } from './notes.ts';
import { type Oversize, type Plan, type PlannedAsset, planAssets } from './plan.ts';
import {
  type Inventory,
  inventory,
  type KnownDigests,
  latestRule,
  publishDraft,
  takeStock,
  uploadChecksums,
} from './publish.ts';
import { assertSame } from './published.ts';
import { downloadedText } from './transfer.ts';
import { listUntil, type StoredAsset, uploadAssets } from './upload.ts';
import { hasPrereleasePart } from './version.ts';

export type Phase = 'all' | 'prepare' | 'upload' | 'publish';

/** A release that is to be, or the part of it that `phase` does. */
export interface ReleaseRequest {
  readonly phase: Phase;
  /** The id that `prepare` gave; without it the one release of `tag`. */
  readonly releaseId?: number | undefined;
  readonly tag?: string | undefined;
  /** Commit that the tag is made at, if it doesn't exist yet. */
  readonly target?: string | undefined;
  readonly name?: string | undefined;
  /** Notes in Markdown. */
  readonly body?: string | undefined;
  /** Paths of local files, for `all` and `upload`. */
  readonly files?: readonly string[];
  readonly prerelease?: boolean | undefined;
  /** Stop before publishing. */
  readonly draft?: boolean | undefined;
  readonly makeLatest?: boolean | undefined;
  readonly generateNotes?: boolean | undefined;
  readonly oversize?: Oversize;
  /** Names that must be there before anything is published, as GitHub shows them. */
  readonly expectedAssets?: readonly string[];
  /** Fedora CoreOS release by architecture, for the notes. */
  readonly coreosReleases?: Readonly<Record<string, string>>;
}

export interface ReleaseContext {
  readonly github: GitHubOptions;
  readonly log: ReleaseLog;
  progress(label: string): Progress & Disposable;
}

/** An asset of the release. */
export interface ReleasedAsset {
  /** As GitHub shows it. */
  readonly name: string;
  /** The local file it was made from, else its name. */
  readonly path: string;
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly url: string;
}

export interface ReleaseResult {
  readonly releaseId: number;
  readonly url: string;
  readonly tag: string;
  readonly published: boolean;
  readonly assets: readonly ReleasedAsset[];
}

/** A run of one phase: what it works with, and what it has learned on the way. */
interface Run {
  readonly request: ReleaseRequest;
  readonly github: GitHub;
  readonly log: ReleaseLog;
  readonly plan: Plan;
  progress(label: string): Progress & Disposable;
  readonly digests: Map<string, string>;
  /** Local path by asset name. */
  readonly paths: Map<string, string>;
}

/**
 * Makes a GitHub release that is whole or not there: a draft first, everything uploaded and compared with the server's
 * digests, published last. Run again after any failure it goes on where it stopped.
 *
 * @throws UsageError where the request can't be right, Error that says what differs, is missing or isn't permitted
 */
export async function publishRelease(request: ReleaseRequest, context: ReleaseContext): Promise<ReleaseResult> {
  checkRequest(request);
  const { phase, files = [], oversize = 'fail' } = request;
  const uploads = phase === 'all' || phase === 'upload';
  const plan = uploads ? await planAssets(files, oversize) : { assets: [], notices: [] };
  for (const notice of plan.notices) context.log.notice(notice);
  const github = await GitHub.connect(context.github);
  const { log } = context;
  const progress = (label: string) => context.progress(label);
  const run: Run = { request, github, log, progress, plan, digests: new Map(), paths: new Map() };
  if (phase === 'publish') return publish(run, await existingRelease(run));
  if (phase === 'upload') return upload(run, await existingRelease(run));
  const release = await prepare(run);
  if (phase === 'prepare') return result(run, release, await inventoryOf(run, release));
  if (!release.draft) return publishedAlready(run, release, { exact: true });
  await uploadPlanned(run, release);
  return finish(run, release);
}

function checkRequest({ phase, releaseId, tag, prerelease, makeLatest }: ReleaseRequest): void {
  if ((phase === 'all' || phase === 'prepare') && tag === undefined && releaseId === undefined) {
    throw new UsageError('"tag" is not set, and the ref is no tag: give the tag that the release is for');
  }
  if ((phase === 'upload' || phase === 'publish') && tag === undefined && releaseId === undefined) {
    throw new UsageError(`"release-id" is not set: the phase ${phase} takes the id that the phase prepare gives`);
  }
  if (prerelease && makeLatest) {
    throw new UsageError('"make-latest" and "prerelease" are both true, but a prerelease can\'t be the latest release');
  }
}

/** The draft for the tag, made if there is none; or the published release. */
async function prepare({ request, github, log }: Run): Promise<Release> {
  const existing = await findRelease(github, request);
  if (existing) {
    log.info(`${existing.draft ? 'going on with the draft' : 'found the published release'} ${existing.id}`);
    return existing.draft ? updateDraft(github, existing, request) : existing;
  }
  const { tag = '', target, name = tag, prerelease = hasPrereleasePart(tag) } = request;
  const generated =
    request.generateNotes && request.phase === 'prepare' ? await github.generatedNotes(tag, target) : '';
  const body = [request.body ?? '', generated].filter((part) => part !== '').join('\n\n');
  const fields = { tag_name: tag, name, body, prerelease, ...(target !== undefined && { target_commitish: target }) };
  return createDraft(github, fields, log);
}

/** What is given goes before what the draft has. */
async function updateDraft(github: GitHub, draft: Release, request: ReleaseRequest): Promise<Release> {
  const { name, body, target, prerelease } = request;
  const fields: ReleaseFields = {
    ...(name !== undefined && name !== draft.name && { name }),
    ...(body !== undefined && body.trimEnd() !== ownBody(draft.body ?? '') && { body: withMarker(body) }),
    ...(target !== undefined && target !== draft.target_commitish && { target_commitish: target }),
    ...(prerelease !== undefined && prerelease !== draft.prerelease && { prerelease }),
  };
  if (Object.keys(fields).length === 0) return draft;
  return github.updateRelease(draft.id, { tag_name: draft.tag_name, ...fields, draft: true });
}

async function existingRelease({ request, github }: Run): Promise<Release> {
  const release = await findRelease(github, request);
  if (release) return release;
  throw new Error(`there is no release and no draft for the tag ${quote(request.tag)}: run the phase prepare first`);
}

async function upload(run: Run, release: Release): Promise<ReleaseResult> {
  if (!release.draft) return publishedAlready(run, release, { exact: false });
  const stored = await uploadPlanned(run, release);
  const assets = stored.map(({ asset, sha256 }) => ({ ...asset, sha256 }));
  return result(run, release, { assets, splits: [] });
}

async function publish(run: Run, release: Release): Promise<ReleaseResult> {
  return release.draft
    ? finish(run, release)
    : publishedAlready(run, release, { exact: expectedNames(run).length > 0 });
}

async function uploadPlanned(run: Run, release: Release): Promise<StoredAsset[]> {
  const { github, log, plan, digests, paths } = run;
  using progress = run.progress('upload');
  const stored = await uploadAssets({ github, release, log, progress }, plan.assets);
  for (const [index, { asset, sha256, joined }] of stored.entries()) {
    const planned = plan.assets[index] as PlannedAsset;
    digests.set(asset.name, sha256);
    paths.set(asset.name, planned.path);
    if (joined !== undefined) digests.set(asset.name.replace(/\.part\d+$/, ''), joined);
  }
  return stored;
}

/** Everything is uploaded: verify, and publish unless it is to stay a draft. */
async function finish(run: Run, draft: Release): Promise<ReleaseResult> {
  const { request, github, log, digests } = run;
  const stock = await takeStock(github, draft, expectedNames(run), digests, log);
  const fields = await finalFields(run, draft, stock);
  if (request.draft) {
    const release = await github.updateRelease(draft.id, { tag_name: draft.tag_name, ...fields, draft: true });
    log.info(`${stock.assets.length} assets are verified; the draft is not published: ${release.html_url}`);
    return result(run, release, stock);
  }
  const prerelease = request.prerelease ?? draft.prerelease;
  const make_latest = await latestRule(github, draft.tag_name, prerelease, request.makeLatest);
  const checksums = stock.assets.length > 0 ? [await uploadChecksums(github, draft, stock, log)] : [];
  const release = await publishDraft(github, draft, { ...fields, make_latest });
  const complete = { assets: [...stock.assets, ...checksums], splits: stock.splits };
  await assertStillWhole(run, release, complete);
  log.info(`published ${release.tag_name}: ${release.html_url}`);
  return result(run, release, complete);
}

async function finalFields(run: Run, draft: Release, stock: Inventory): Promise<ReleaseFields> {
  const { request, github } = run;
  const target = request.target ?? draft.target_commitish;
  const body = composeNotes({
    body: request.body ?? ownBody(draft.body ?? ''),
    generated: request.generateNotes ? await github.generatedNotes(draft.tag_name, target) : '',
    files: stock.assets,
    splits: stock.splits,
    coreosReleases: await coreosReleases(run, stock),
    checksums: !request.draft,
    repositoryUrl: draft.html_url.split('/releases/')[0] ?? '',
    tag: draft.tag_name,
  });
  return {
    body,
    name: request.name ?? draft.name ?? draft.tag_name,
    prerelease: request.prerelease ?? draft.prerelease,
    ...(request.target !== undefined && { target_commitish: request.target }),
  };
}

/** As given, else from the record of the build if it is an asset: publishing may run on a machine without the files. */
async function coreosReleases(
  { request, github, log }: Run,
  stock: Inventory,
): Promise<Readonly<Record<string, string>>> {
  const given = request.coreosReleases ?? {};
  const record = stock.assets.find(({ name }) => name === BUILD_INFO);
  if (Object.keys(given).length > 0 || !record) return given;
  try {
    return coreosReleasesOf((await downloadedText(github, record, MAX_BUILD_INFO)) ?? '');
  } catch (error) {
    github.options.signal?.throwIfAborted();
    // A line of the notes is not worth a release.
    log.warning(`the notes lack the Fedora CoreOS releases: ${(error as Error).message}`);
    return {};
  }
}

/** A job that still uploads could have replaced an asset in the last moment. */
async function assertStillWhole({ github }: Run, release: Release, { assets }: Inventory): Promise<void> {
  const wanted = new Map(assets.map((asset) => [asset.name, asset.digest]));
  const same = (asset: Asset) => wanted.has(asset.name) && (asset.digest ?? null) === (wanted.get(asset.name) ?? null);
  const isWhole = (listed: readonly Asset[]) => listed.length === wanted.size && listed.every(same);
  if (isWhole(await listUntil(github, release.id, isWhole))) return;
  throw new Error(
    `${release.html_url} is published, but its assets changed while it was: another job uploads to the same release`,
  );
}

/** A published release is never changed: it is what was asked for, or an error. */
async function publishedAlready(run: Run, release: Release, { exact }: { exact: boolean }): Promise<ReleaseResult> {
  const { github, plan, log } = run;
  using progress = run.progress('compare');
  const stock = await assertSame(
    github,
    release,
    { planned: plan.assets, expected: expectedNames(run), exact },
    progress,
  );
  for (const { asset, planned } of stock.pairs) run.paths.set(asset.name, planned.path);
  log.notice(`${release.tag_name} is published already, with the same assets: ${release.html_url}`);
  return result(run, release, stock.inventory);
}

function expectedNames({ request, digests, plan }: Run): string[] {
  const uploaded = plan.assets.length > 0 ? [...digests.keys()].filter((name) => !isJoined(name, digests)) : [];
  const given = request.phase === 'upload' ? [] : (request.expectedAssets ?? []);
  return [...new Set([...uploaded, ...given])].filter((name) => name !== CHECKSUMS);
}

/** A split file is known by its joined name too, which is no asset. */
function isJoined(name: string, digests: KnownDigests): boolean {
  return digests.has(`${name}.part01`) && digests.has(`${name}.part02`);
}

async function inventoryOf({ github, digests }: Run, release: Release): Promise<Inventory> {
  const uploaded = (await github.assets(release.id)).filter(({ state }) => state === 'uploaded');
  return inventory(github, uploaded, digests);
}

function result({ paths }: Run, release: Release, { assets }: Inventory): ReleaseResult {
  return {
    releaseId: release.id,
    url: release.html_url,
    tag: release.tag_name,
    published: !release.draft,
    assets: assets.map(({ name, size, sha256, browser_download_url }) => ({
      name,
      path: paths.get(name) ?? name,
      size,
      sha256,
      url: browser_download_url,
    })),
  };
}
