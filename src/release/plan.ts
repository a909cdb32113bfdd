import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { quote } from '../io/errors.ts';
import { formatSize, GiB, MiB } from '../io/sizes.ts';
import { CHECKSUMS, predictedName } from './asset-name.ts';

/** GitHub takes assets that are smaller than this, in bytes. */
export const ASSET_LIMIT = 2 * GiB;
/** Size of a part where a file is split, in bytes. */
export const PART_SIZE = 2000 * MiB;
/** GitHub takes at most this many assets in a release. */
export const MAX_ASSETS = 1000;

/** What to do with a file that is too large for an asset. */
export type Oversize = 'fail' | 'split' | 'skip';

/** An asset that is to be in the release: a file, or a part of one. */
export interface PlannedAsset {
  /** As it is uploaded; GitHub may show another name. */
  readonly name: string;
  /** The local file. */
  readonly path: string;
  /** Where in the file it starts, and how long it is, in bytes. */
  readonly offset: number;
  readonly size: number;
  /** The file that this is a part of. */
  readonly whole?: Whole;
}

/** A file that is too large for one asset. */
export interface Whole {
  readonly name: string;
  readonly path: string;
  readonly size: number;
  readonly parts: number;
}

export interface Plan {
  readonly assets: readonly PlannedAsset[];
  /** Things left out, a sentence each. */
  readonly notices: readonly string[];
}

/**
 * Works out the assets for local files, before anything is created on the server.
 *
 * @throws Error with a line for every file that can't be an asset
 */
export async function planAssets(paths: readonly string[], oversize: Oversize): Promise<Plan> {
  const mistakes: string[] = [];
  const notices: string[] = [];
  const assets: PlannedAsset[] = [];
  for (const path of paths) {
    const name = basename(path);
    const { size } = await stat(path);
    if (name === CHECKSUMS)
      notices.push(`${path} is left out: the release gets its own ${CHECKSUMS} when it is published`);
    else if (size === 0) mistakes.push(`${path} is empty, and GitHub takes no empty assets`);
    else if (size < ASSET_LIMIT) assets.push({ name, path, offset: 0, size });
    else if (oversize === 'split') assets.push(...partsOf(path, name, size));
    else if (oversize === 'skip') notices.push(`${path} is left out: ${tooLarge(size)}`);
    else mistakes.push(`${path} is too large: ${tooLarge(size)}; set "oversize" to split or skip, or make it smaller`);
  }
  mistakes.push(...collisions(assets));
  // One place is for the checksums.
  if (assets.length >= MAX_ASSETS) {
    mistakes.push(
      `"files" makes ${assets.length} assets, but a release has at most ${MAX_ASSETS}, ${CHECKSUMS} included`,
    );
  }
  if (mistakes.length > 0) throw new Error(mistakes.join('\n'));
  return { assets, notices };
}

/** Name of a part, counted from 1. */
export function partName(name: string, part: number): string {
  return `${name}.part${String(part).padStart(2, '0')}`;
}

function partsOf(path: string, name: string, size: number): PlannedAsset[] {
  const whole = { name, path, size, parts: Math.ceil(size / PART_SIZE) };
  return Array.from({ length: whole.parts }, (_, i) => ({
    name: partName(name, i + 1),
    path,
    offset: i * PART_SIZE,
    size: Math.min(PART_SIZE, size - i * PART_SIZE),
    whole,
  }));
}

function tooLarge(size: number): string {
  return `it has ${size} bytes (${formatSize(size)}), and an asset must be smaller than ${ASSET_LIMIT} (2 GiB)`;
}

/** Two files can't be one asset; GitHub compares names after it rewrote them. */
function collisions(assets: readonly PlannedAsset[]): string[] {
  const byName = new Map<string, PlannedAsset[]>();
  for (const asset of assets) {
    const shown = predictedName(asset.name);
    byName.set(shown, [...(byName.get(shown) ?? []), asset]);
  }
  return [...byName]
    .filter(([, same]) => same.length > 1)
    .map(
      ([shown, same]) =>
        `${same.map(({ path }) => path).join(' and ')} would be one asset, ${quote(shown)}: rename all but one`,
    );
}
