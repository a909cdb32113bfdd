import { quote } from '../io/errors.ts';
import type { Progress } from '../io/progress.ts';
import { CHECKSUMS } from './asset-name.ts';
import { hashRanges } from './file-range.ts';
import type { Asset, GitHub, Release } from './github.ts';
import type { PlannedAsset } from './plan.ts';
import { type Inventory, inventory, isUploaded } from './publish.ts';
import { findAsset, listUntil } from './upload.ts';

/** What a published release is compared with. */
export interface Comparison {
  readonly planned: readonly PlannedAsset[];
  /** Further names that must be there. */
  readonly expected: readonly string[];
  /** Nothing else may be there, but `SHA256SUMS`. */
  readonly exact: boolean;
}

export interface SameRelease {
  readonly inventory: Inventory;
  readonly pairs: readonly { readonly asset: Asset; readonly planned: PlannedAsset }[];
}

/**
 * Compares a published release with local files, by name, size and digest.
 *
 * @throws Error that lists every difference
 */
export async function assertSame(
  github: GitHub,
  release: Release,
  { planned, expected, exact }: Comparison,
  progress: Progress,
): Promise<SameRelease> {
  const wanted = [...planned.map(({ name }) => name), ...expected];
  const listed = await listUntil(github, release.id, (assets) => wanted.every((name) => findAsset(assets, name)));
  const stock = await inventory(github, listed.filter(isUploaded), new Map());
  const pairs = planned.flatMap((asset) => {
    const found = findAsset(stock.assets, asset.name);
    return found ? [{ asset: found as Inventory['assets'][number], planned: asset }] : [];
  });
  const known = new Set([...pairs.map(({ asset }) => asset.name), ...expected, CHECKSUMS]);
  const problems = [
    ...wanted.filter((name) => !findAsset(stock.assets, name)).map((name) => `missing: ${name}`),
    ...(await differences(github, pairs, progress)),
    ...(exact ? listed.filter(({ name }) => !known.has(name)).map(({ name }) => `not among the files: ${name}`) : []),
  ];
  if (problems.length === 0) return { inventory: stock, pairs };
  throw new Error(
    `the release of ${quote(release.tag_name)} is published and can't be changed, and it differs (${release.html_url}):\n${problems
      .map((problem) => `  ${problem}`)
      .join('\n')}`,
  );
}

async function differences(
  github: GitHub,
  pairs: readonly { asset: Inventory['assets'][number]; planned: PlannedAsset }[],
  progress: Progress,
): Promise<string[]> {
  const problems: string[] = [];
  const { signal } = github.options;
  progress.total(pairs.reduce((sum, { planned }) => sum + planned.size, 0));
  for (const { asset, planned } of pairs) {
    if (asset.size !== planned.size) {
      problems.push(`${asset.name}: ${asset.size} bytes there, ${planned.size} here`);
      continue;
    }
    const { together } = await hashRanges([planned], { signal, advance: (bytes) => progress.advance(bytes) });
    if (asset.sha256 !== together)
      problems.push(`${asset.name}: sha256:${asset.sha256} there, sha256:${together} here`);
  }
  return problems;
}
