import { quote, UsageError } from '../io/errors.ts';
import { createDraft, findRelease } from './draft.ts';
import { finish } from './finish.ts';
import { GitHub, type Release, type ReleaseFields } from './github.ts';
import { ownBody, withMarker } from './notes.ts';
import { type PlannedAsset, planAssets } from './plan.ts';
import { type Inventory, inventory } from './publish.ts';
import { assertSame } from './published.ts';
import {
  expectedNames,
  type ReleaseContext,
  type ReleaseRequest,
  type ReleaseResult,
  type Run,
  result,
} from './run.ts';
import { type StoredAsset, uploadAssets } from './upload.ts';
import { hasPrereleasePart } from './version.ts';

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

async function inventoryOf({ github, digests }: Run, release: Release): Promise<Inventory> {
  const uploaded = (await github.assets(release.id)).filter(({ state }) => state === 'uploaded');
  return inventory(github, uploaded, digests);
}
