import type { ReleaseContext, ReleaseRequest, ReleaseResult } from './run.ts';

export { type Classification, type ClassifyOptions, checkedOutRef, classify } from './classify.ts';
export { coreosReleasesNear } from './coreos-releases.ts';
export type { GitHubOptions } from './github.ts';
export type { ReleaseLog } from './log.ts';
export type { Oversize } from './plan.ts';
export type { Phase, ReleaseContext, ReleasedAsset, ReleaseRequest, ReleaseResult } from './run.ts';
export { DEFAULT_LABELS, parseVersion, prereleaseOf, type Version } from './version.ts';

/**
 * Makes a GitHub release that is whole or not there; see `release.ts`. Loaded when it is called, so that classifying a
 * version doesn't wait for an HTTP client.
 *
 * @throws UsageError where the request can't be right, Error that says what differs, is missing or isn't permitted
 */
export async function publishRelease(request: ReleaseRequest, context: ReleaseContext): Promise<ReleaseResult> {
  const release = await import('./release.ts');
  return release.publishRelease(request, context);
}
