import type { Progress } from '../io/progress.ts';
import { CHECKSUMS } from './asset-name.ts';
import type { GitHub, GitHubOptions, Release } from './github.ts';
import type { ReleaseLog } from './log.ts';
import type { Oversize, Plan } from './plan.ts';
import type { Inventory, KnownDigests } from './publish.ts';

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
export interface Run {
  readonly request: ReleaseRequest;
  readonly github: GitHub;
  readonly log: ReleaseLog;
  readonly plan: Plan;
  progress(label: string): Progress & Disposable;
  readonly digests: Map<string, string>;
  /** Local path by asset name. */
  readonly paths: Map<string, string>;
}

/** Names of the assets that must be there: what this run uploaded, and what it was told. */
export function expectedNames({ request, digests, plan }: Run): string[] {
  const uploaded = plan.assets.length > 0 ? [...digests.keys()].filter((name) => !isJoined(name, digests)) : [];
  const given = request.phase === 'upload' ? [] : (request.expectedAssets ?? []);
  return [...new Set([...uploaded, ...given])].filter((name) => name !== CHECKSUMS);
}

/** A split file is known by its joined name too, which is no asset. */
function isJoined(name: string, digests: KnownDigests): boolean {
  return digests.has(`${name}.part01`) && digests.has(`${name}.part02`);
}

/** What a phase gives back. */
export function result({ paths }: Run, release: Release, { assets }: Inventory): ReleaseResult {
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
