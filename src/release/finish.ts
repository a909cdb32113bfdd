import { BUILD_INFO, coreosReleasesOf, MAX_BUILD_INFO } from './coreos-releases.ts';
import type { Asset, Release, ReleaseFields } from './github.ts';
import { composeNotes, ownBody } from './notes.ts';
import { type Inventory, latestRule, publishDraft, takeStock, uploadChecksums } from './publish.ts';
import { expectedNames, type ReleaseResult, type Run, result } from './run.ts';
import { downloadedText } from './transfer.ts';
import { listUntil } from './upload.ts';

/** Everything is uploaded: verify, and publish unless it is to stay a draft. */
export async function finish(run: Run, draft: Release): Promise<ReleaseResult> {
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
