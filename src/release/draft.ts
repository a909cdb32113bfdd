import { randomUUID } from 'node:crypto';
import { quote } from '../io/errors.ts';
import { withRetries } from '../io/retry.ts';
import { hasStatus } from './api-errors.ts';
import type { GitHub, Release, ReleaseFields } from './github.ts';
import type { ReleaseLog } from './log.ts';
import { withMarker } from './notes.ts';
import { pause } from './pause.ts';

/** Waits for a draft that GitHub has but doesn't list yet, in seconds. */
const LIST_DELAYS: readonly number[] = [0, 0.25, 0.5, 1, 2];
/** Waits for another job that withdraws its draft, in seconds. */
const WITHDRAW_DELAYS: readonly number[] = [0, 0.5, 1, 2];

/** How a release is named: by the id that another phase gave, else by its tag. */
export interface ReleaseKey {
  readonly releaseId?: number | undefined;
  readonly tag?: string | undefined;
}

/**
 * The release, published or a draft; undefined if the tag has none.
 *
 * @throws Error if several drafts share the tag, or the id belongs to another tag
 */
export async function findRelease(github: GitHub, { releaseId, tag }: ReleaseKey): Promise<Release | undefined> {
  if (releaseId !== undefined) {
    const release = await github.release(releaseId);
    if (tag === undefined || release.tag_name === tag) return release;
    throw new Error(
      `"release-id" ${releaseId} is the release of ${quote(release.tag_name)}, but "tag" is ${quote(tag)}: give one of them, or the right pair`,
    );
  }
  if (tag === undefined) return undefined;
  const published = await github.publishedRelease(tag);
  if (published) return published;
  const found = await releasesOf(github, tag);
  if (found.length > 1) throw severalDrafts(tag, found);
  return found[0];
}

/**
 * Creates a draft, once: an answer that was lost, a list that lags behind and another job that does the same at the same
 * time all end in one draft.
 */
export async function createDraft(
  github: GitHub,
  fields: ReleaseFields & { tag_name: string },
  log: ReleaseLog,
): Promise<Release> {
  const mark = randomUUID();
  const body = withMarker(fields.body ?? '', mark);
  const created = await withRetries(
    async (attempt) => {
      // A draft whose answer was lost has our mark.
      const lost = attempt > 1 ? (await github.releases()).find((release) => isMarked(release, mark)) : undefined;
      return lost ?? github.createRelease({ ...fields, body, draft: true });
    },
    { signal: github.options.signal, firstWait: github.second },
  );
  log.info(`created the draft ${created.id} for ${fields.tag_name}`);
  return settle(github, created, mark, log);
}

/**
 * Makes sure that no other draft has the tag.
 *
 * @throws Error that lists the drafts
 */
export async function assertOnlyDraft(github: GitHub, release: Release): Promise<void> {
  let drafts: Release[] = [];
  for (const delay of WITHDRAW_DELAYS) {
    await pause(delay * github.second, github.options.signal);
    const others = await releasesOf(github, release.tag_name);
    drafts = [release, ...others.filter(({ id }) => id !== release.id)];
    if (drafts.length === 1) return;
  }
  throw severalDrafts(release.tag_name, drafts);
}

/** Of the drafts that were created at the same time all jobs keep the oldest, and each withdraws its own. */
async function settle(github: GitHub, created: Release, mark: string, log: ReleaseLog): Promise<Release> {
  let listed: Release[] = [];
  for (const delay of LIST_DELAYS) {
    await pause(delay * github.second, github.options.signal);
    listed = await github.releases();
    if (listed.some(({ id }) => id === created.id)) break;
  }
  const same = listed.filter((release) => release.tag_name === created.tag_name && release.id !== created.id);
  const others = await stillThere(github, same);
  const [oldest = created] = [created, ...others].sort((a, b) => a.id - b.id);
  for (const draft of [created, ...others.filter((other) => isMarked(other, mark))]) {
    if (draft.id === oldest.id) continue;
    log.info(`withdrew the draft ${draft.id}: ${oldest.id} is there for ${created.tag_name}`);
    await github.deleteRelease(draft.id);
  }
  return oldest;
}

async function releasesOf(github: GitHub, tag: string): Promise<Release[]> {
  return stillThere(
    github,
    (await github.releases()).filter(({ tag_name }) => tag_name === tag),
  );
}

/** The same releases as they are now: a list may show what is deleted, or a draft that is published. */
async function stillThere(github: GitHub, listed: readonly Release[]): Promise<Release[]> {
  const current = listed.map(({ id }) =>
    github.release(id).catch((error: unknown) => {
      if (hasStatus(error, 404)) return undefined;
      throw error;
    }),
  );
  return (await Promise.all(current)).filter((release) => release !== undefined);
}

function isMarked(release: Release, mark: string): boolean {
  return release.draft && (release.body ?? '').includes(mark);
}

function severalDrafts(tag: string, drafts: readonly Release[]): Error {
  const list = [...drafts]
    .sort((a, b) => a.id - b.id)
    .map(({ id, draft, html_url }) => `  ${id} ${draft ? 'draft' : 'published'} ${html_url}`);
  return new Error(
    `${drafts.length} releases share the tag ${quote(tag)}; delete all but one, or name it by "release-id":\n${list.join('\n')}`,
  );
}
