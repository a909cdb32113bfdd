import { execFile } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { MiB } from '../../src/io/sizes.ts';
import type { ReleasedAsset, ReleaseRequest } from '../../src/release/index.ts';
import { GitHubServer } from '../support/github-server.ts';
import { Files, release } from '../support/release.ts';

/** Peak resident memory of an upload, however large the files are. */
const MEMORY_LIMIT = 150 * MiB;

async function sparse(files: Files, name: string, size: number): Promise<string> {
  const path = join(files.folder, name);
  await using handle = await open(path, 'w');
  await handle.write(`${name}\n`);
  await handle.truncate(size);
  return path;
}

async function measured(
  server: GitHubServer,
  request: Partial<ReleaseRequest>,
): Promise<{ assets: ReleasedAsset[]; peak: number }> {
  const script = join(import.meta.dirname, '../support/measured-release.ts');
  const argument = JSON.stringify({
    request: { phase: 'all', tag: 'v1.0.0', ...request },
    apiUrl: server.apiUrl,
    token: server.token,
  });
  const { stdout } = await promisify(execFile)(process.execPath, [script, argument]);
  return JSON.parse(stdout) as { assets: ReleasedAsset[]; peak: number };
}

describe('large files', () => {
  it('of 2,000,000,000 bytes go up in little memory', async () => {
    await using server = await GitHubServer.start();
    await using files = await Files.create();
    const { assets, peak } = await measured(server, { files: [await sparse(files, 'big.iso', 2_000_000_000)] });
    expect(assets[0]).toMatchObject({ name: 'big.iso', size: 2_000_000_000 });
    expect(server.releases[0]?.assets[0]).toMatchObject({ state: 'uploaded', size: 2_000_000_000 });
    expect(peak).toBeLessThan(MEMORY_LIMIT);
    expect(server.violations).toEqual([]);
  });

  it('of 5 GB are split into parts, with the digest of the whole', async () => {
    await using server = await GitHubServer.start();
    await using files = await Files.create();
    const path = await sparse(files, 'huge.iso', 5_000_000_000);
    await expect(release(server, { tag: 'v1.0.0', files: [path] })).rejects.toThrow(/5000000000 bytes.*"oversize"/);
    expect(server.requests).toEqual([]);
    const { assets, peak } = await measured(server, { files: [path], oversize: 'split' });
    expect(assets.map(({ name, size }) => [name, size])).toEqual([
      ['huge.iso.part01', 2000 * MiB],
      ['huge.iso.part02', 2000 * MiB],
      ['huge.iso.part03', 5_000_000_000 - 4000 * MiB],
      ['SHA256SUMS', expect.any(Number)],
    ]);
    expect(peak).toBeLessThan(MEMORY_LIMIT);
    const [published] = server.releases;
    const label = published?.assets.find(({ name }) => name === 'huge.iso.part01')?.label;
    expect(published?.body).toContain('cat huge.iso.part01 huge.iso.part02 huge.iso.part03 > huge.iso');
    expect(label).toMatch(/^huge\.iso\.part01 \(joined: sha256:[0-9a-f]{64}\)$/);
    const hashed = await promisify(execFile)('openssl', ['dgst', '-sha256', '-r', path]).catch(() => undefined);
    if (hashed) expect(label).toContain(hashed.stdout.slice(0, 64));
    expect(server.violations).toEqual([]);
  });
});
