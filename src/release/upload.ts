import type { Progress } from '../io/progress.ts';
import { type RetryOptions, TransientError, withRetries } from '../io/retry.ts';
import { hasStatus } from './api-errors.ts';
import { possibleNames } from './asset-name.ts';
import { hashRanges } from './file-range.ts';
import type { Asset, GitHub, Release } from './github.ts';
import type { ReleaseLog } from './log.ts';
import { pause } from './pause.ts';
import type { PlannedAsset } from './plan.ts';
import { type AssetContent, uploadOnce } from './transfer.ts';

/** Uploads at a time: enough to fill a line, few enough for GitHub's secondary limits. */
const PARALLEL = 3;
/** Waits for an asset that GitHub has but doesn't list yet, in seconds. */
export const LIST_DELAYS: readonly number[] = [0, 0.5, 1, 1.5, 2, 3];

/** An asset that is in the release, whole and with the bytes that it should have. */
export interface StoredAsset {
  readonly asset: Asset;
  /** Lower-case hex. */
  readonly sha256: string;
  /** For a part: digest of the whole file. */
  readonly joined?: string | undefined;
}

export interface Transfer {
  readonly github: GitHub;
  /** A draft. */
  readonly release: Release;
  readonly log: ReleaseLog;
  readonly progress: Progress;
}

/** What is to be in the release under a name. */
interface Wanted {
  readonly name: string;
  readonly size: number;
  readonly label?: string | undefined;
  readonly content: AssetContent;
  /** The digest where it had to be known before: the file must not change after that. */
  readonly known?: string | undefined;
  /** Known before, or worked out from the local bytes when it is needed. */
  sha256(): Promise<string>;
}

/**
 * Brings planned assets into a draft: what is there with the same size and digest is kept, what is broken or differs is
 * replaced, the rest is uploaded, a few at a time. Every asset is compared with the server's size and digest.
 *
 * @returns what is stored, in the order of `planned`
 */
export async function uploadAssets(transfer: Transfer, planned: readonly PlannedAsset[]): Promise<StoredAsset[]> {
  transfer.progress.total(planned.reduce((sum, { size }) => sum + size, 0));
  const digests = await digestsOfParts(transfer, planned);
  const listed = planned.length > 0 ? await transfer.github.assets(transfer.release.id) : [];
  const stored: StoredAsset[] = [];
  const queue = planned.entries();
  let failed = false;
  const worker = async () => {
    for (const [index, asset] of queue) {
      if (failed) return;
      const one = await store(transfer, wantedFile(transfer, asset, digests), listed).catch((error: unknown) => {
        failed = true;
        throw error;
      });
      stored[index] = { ...one, joined: asset.whole && digests.get(asset.whole.path) };
    }
  };
  const results = await Promise.allSettled(Array.from({ length: PARALLEL }, worker));
  // Uploads that have begun come to their end before the first failure is told, so that nothing goes on behind its back.
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return stored;
}

/** As `uploadAssets` for one text. */
export async function uploadText(transfer: Transfer, name: string, text: string, sha256: string): Promise<StoredAsset> {
  const bytes = Buffer.from(text);
  const wanted = { name, size: bytes.length, content: { text: bytes }, sha256: async () => sha256 };
  return store(transfer, wanted, await transfer.github.assets(transfer.release.id));
}

/** The digest of a split file, which stands in the label of its first part. */
export function wholeDigest(label: string | null | undefined): string | undefined {
  return /\(joined: sha256:([0-9a-f]{64})\)$/.exec(label ?? '')?.[1];
}

/** The asset that GitHub shows for a local name. */
export function findAsset(assets: readonly Asset[], name: string): Asset | undefined {
  for (const candidate of possibleNames(name)) {
    const found = assets.find((asset) => asset.name === candidate);
    if (found) return found;
  }
  return undefined;
}

/** Asks for the assets until `enough` says so, for a few seconds: lists lag behind. */
export async function listUntil(
  github: GitHub,
  releaseId: number,
  enough: (assets: readonly Asset[]) => boolean,
): Promise<Asset[]> {
  let assets: Asset[] = [];
  for (const delay of LIST_DELAYS) {
    await pause(delay * github.second, github.options.signal);
    assets = await github.assets(releaseId);
    if (enough(assets)) break;
  }
  return assets;
}

/** Digests of the parts of split files, by part name, and of the wholes, by path: one pass over each file. */
async function digestsOfParts(
  { github, log }: Transfer,
  planned: readonly PlannedAsset[],
): Promise<ReadonlyMap<string, string>> {
  const digests = new Map<string, string>();
  const wholes = new Set(planned.flatMap(({ whole }) => whole?.path ?? []));
  for (const path of wholes) {
    log.info(`hashing ${path}, which is uploaded in parts`);
    const parts = planned.filter((asset) => asset.whole?.path === path);
    const { each, together } = await hashRanges(parts, { signal: github.options.signal });
    digests.set(path, together);
    for (const [index, part] of parts.entries()) digests.set(part.name, each[index] ?? '');
  }
  return digests;
}

function wantedFile({ github }: Transfer, asset: PlannedAsset, digests: ReadonlyMap<string, string>): Wanted {
  const { name, size, whole } = asset;
  const { signal } = github.options;
  const first = whole && asset.offset === 0;
  let hashed: Promise<string> | undefined;
  return {
    name,
    size,
    label: first ? `${name} (joined: sha256:${digests.get(whole.path)})` : undefined,
    content: { range: asset },
    known: digests.get(name),
    sha256: async () => {
      const known = digests.get(name);
      if (known !== undefined) return known;
      hashed ??= hashRanges([asset], { signal }).then(({ together }) => together);
      return hashed;
    },
  };
}

async function store(transfer: Transfer, wanted: Wanted, listed: readonly Asset[]): Promise<StoredAsset> {
  const { github, release, log, progress } = transfer;
  const retry: RetryOptions = {
    signal: github.options.signal,
    firstWait: github.second,
    onRetry: (error, attempt, wait) =>
      log.info(`${wanted.name}: ${error.message}; try ${attempt + 1} in ${Math.ceil(wait / github.second)} s`),
  };
  return withRetries(async (attempt) => {
    const present = findAsset(attempt === 1 ? listed : await github.assets(release.id), wanted.name);
    const kept = present && (await keepOrRemove(transfer, wanted, present));
    if (kept) {
      progress.advance(wanted.size);
      return kept;
    }
    return send(transfer, wanted);
  }, retry);
}

/** An asset that is whole and has the right bytes is kept; any other is removed from the draft. */
async function keepOrRemove(
  { github, log }: Transfer,
  wanted: Wanted,
  present: Asset,
): Promise<StoredAsset | undefined> {
  if (present.state !== 'uploaded') {
    log.info(`${present.name}: an unfinished upload is removed`);
  } else {
    const sha256 = present.size === wanted.size ? await wanted.sha256() : undefined;
    if (sha256 !== undefined && present.digest === `sha256:${sha256}`) {
      log.info(`${present.name} is there already`);
      return { asset: present, sha256 };
    }
    log.info(`${present.name} has other bytes in the draft and is replaced`);
  }
  await github.deleteAsset(present);
  return undefined;
}

async function send(transfer: Transfer, wanted: Wanted): Promise<StoredAsset> {
  const { github, release, log, progress } = transfer;
  try {
    const { asset, sha256 } = await uploadOnce(github, release, wanted, (bytes) => progress.advance(bytes));
    await verify(transfer, wanted, asset, sha256);
    log.info(`${asset.name} is uploaded: sha256:${sha256}`);
    return { asset, sha256 };
  } catch (error) {
    if (!(hasStatus(error, 422) && error.codes.includes('already_exists'))) throw error;
    // Stored by a try whose answer was lost, or by another job; it may take a moment until the list has it.
    await listUntil(github, release.id, (assets) => findAsset(assets, wanted.name) !== undefined);
    throw new TransientError(`GitHub has an asset of this name already`, { cause: error, retryAfter: 0 });
  }
}

/** Compares what GitHub stored with what was sent. What differs is removed, and sent again. */
async function verify({ github }: Transfer, wanted: Wanted, answered: Asset, sha256: string): Promise<void> {
  const asset = answered.digest ? answered : ((await github.asset(answered.id)) ?? answered);
  const problem =
    asset.state !== 'uploaded'
      ? `is in the state ${asset.state}`
      : asset.size !== wanted.size
        ? `has ${asset.size} bytes instead of ${wanted.size}`
        : asset.digest && asset.digest !== `sha256:${sha256}`
          ? `has the digest ${asset.digest} instead of sha256:${sha256}`
          : wanted.known && wanted.known !== sha256
            ? 'is not what was hashed before: the file changed'
            : undefined;
  if (problem === undefined) return;
  await github.deleteAsset(asset);
  throw new TransientError(`arrived damaged: it ${problem}`);
}
