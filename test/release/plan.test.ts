import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { possibleNames, predictedName } from '../../src/release/asset-name.ts';
import { coreosReleasesNear } from '../../src/release/index.ts';
import { ASSET_LIMIT, PART_SIZE, planAssets } from '../../src/release/plan.ts';
import { Files } from '../support/release.ts';

async function sparse(files: Files, name: string, size: number): Promise<string> {
  const path = join(files.folder, name);
  await using handle = await open(path, 'w');
  await handle.truncate(size);
  return path;
}

describe('planAssets', () => {
  it('finds files that are too large, empty or of one name, all at once', async () => {
    await using files = await Files.create({ 'a b.txt': 'x', 'a.b.txt': 'y', empty: '' });
    await using other = await Files.create({ 'same.iso': '1' });
    const paths = [
      ...files.paths,
      await sparse(files, 'big.iso', ASSET_LIMIT),
      await files.add('same.iso', '2'),
      ...other.paths,
    ];
    const message = await planAssets(paths, 'fail').catch((error: Error) => error.message);
    expect(message).toMatch(/big\.iso is too large: it has 2147483648 bytes/);
    expect(message).toMatch(/empty is empty/);
    expect(message).toMatch(/a b\.txt and .*a\.b\.txt would be one asset, "a\.b\.txt"/);
    expect(message).toMatch(/same\.iso and .*same\.iso would be one asset/);
  });

  it('takes the largest file that GitHub takes as it is', async () => {
    await using files = await Files.create();
    const plan = await planAssets([await sparse(files, 'a.iso', ASSET_LIMIT - 1)], 'fail');
    expect(plan.assets).toMatchObject([{ name: 'a.iso', offset: 0, size: ASSET_LIMIT - 1 }]);
  });

  it.each([
    [ASSET_LIMIT, [PART_SIZE, ASSET_LIMIT - PART_SIZE]],
    [2 * PART_SIZE, [PART_SIZE, PART_SIZE]],
    [2 * PART_SIZE + 1, [PART_SIZE, PART_SIZE, 1]],
  ])('splits %i bytes', async (size, parts) => {
    await using files = await Files.create();
    const { assets } = await planAssets([await sparse(files, 'a.iso', size)], 'split');
    expect(assets.map((asset) => asset.size)).toEqual(parts);
    expect(assets.map(({ name }) => name)).toEqual(parts.map((_, i) => `a.iso.part0${i + 1}`));
    expect(assets.map(({ offset }) => offset)).toEqual(parts.map((_, i) => i * PART_SIZE));
  });

  it('skips with a notice', async () => {
    await using files = await Files.create({ 'a.txt': 'x' });
    const plan = await planAssets([...files.paths, await sparse(files, 'b.iso', ASSET_LIMIT)], 'skip');
    expect(plan.assets.map(({ name }) => name)).toEqual(['a.txt']);
    expect(plan.notices).toEqual([expect.stringMatching(/b\.iso is left out/)]);
  });

  it('keeps a place for the digests', async () => {
    await using files = await Files.create();
    for (let i = 0; i < 1000; i++) await files.add(`f${i}`, 'x');
    await expect(planAssets(files.paths, 'fail')).rejects.toThrow(/1000 assets, but a release has at most 1000/);
    expect((await planAssets(files.paths.slice(1), 'fail')).assets).toHaveLength(999);
  });
});

describe('names of assets', () => {
  it.each([
    ['a.iso', 'a.iso'],
    ['k4all-worker_1.0.0-x86_64.iso', 'k4all-worker_1.0.0-x86_64.iso'],
    ['my file (1).iso', 'my.file.1.iso'],
    ['v1.0.0+b1.iso', 'v1.0.0.b1.iso'],
    ['.hidden', 'default.hidden'],
    ['é.txt', 'e.txt'],
  ])('%s is shown as %s', (name, shown) => expect(predictedName(name)).toBe(shown));

  it('has the other rewritings that were seen', () => {
    expect(possibleNames('v1+b.iso')).toEqual(['v1.b.iso', 'v1+b.iso']);
    expect(possibleNames('a (1).iso')).toContain('a..1..iso');
  });
});

describe('coreosReleasesNear', () => {
  it('reads the record among the files or beside them, and passes over others', async () => {
    const record = (architecture: string, release: string) => JSON.stringify({ bases: [{ architecture, release }] });
    await using one = await Files.create({ 'a.iso': 'x' });
    await one.add('build-info.json', record('x86_64', '44.1'));
    await using two = await Files.create({ 'build-info.json': record('aarch64', '44.2') });
    await using bad = await Files.create({
      'b.iso': 'x',
      'build-info.json': '{"bases": [null, {"architecture": "a|b"}], ',
    });
    await using hostile = await Files.create({ 'build-info.json': record('x86_64', '44 | <img>') });
    const near = await coreosReleasesNear([join(one.folder, 'a.iso'), ...two.paths, ...bad.paths, ...hostile.paths]);
    expect(near).toEqual({ x86_64: '44.1', aarch64: '44.2' });
  });
});
