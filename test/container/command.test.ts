import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { faultyRegistry } from '../support/registry.ts';
import { git, repository, temporaryFolder } from '../support/repository.ts';

const entry = resolve(import.meta.dirname, '../support/cli.ts');

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line from its sources, with an environment that holds nothing of the machine but the path. */
function k4all(cwd: string, args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const clean = { PATH: process.env.PATH ?? '', HOME: cwd, XDG_RUNTIME_DIR: cwd, ...env };
  return new Promise((done) => {
    execFile(process.execPath, [entry, 'source-container', ...args], { cwd, env: clean }, (error, stdout, stderr) =>
      done({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

describe('k4all source-container', () => {
  it('takes tags from the git ref, and annotations from the checkout', async () => {
    await using folder = await temporaryFolder();
    const repo = await repository(join(folder.path, 'repo'), {
      a: 'a',
      LICENSE:
        'Permission is hereby granted, free of charge, to any person obtaining a copy\nThe above copyright notice',
    });
    git(repo, 'remote', 'add', 'origin', 'https://token@github.com/K4all/Demo.git');
    git(repo, 'tag', 'v1.2.3');
    const args = ['--image', 'oci:../out', '--json', '--annotations', 'x=1,2'];
    const { code, stdout, stderr } = await k4all(repo, args, { GITHUB_REF: 'refs/tags/v1.2.3' });
    expect([code, stderr]).toEqual([0, expect.any(String)]);
    const result = JSON.parse(stdout);
    expect(result).toEqual({
      digest: expect.stringMatching(/^sha256:/),
      image: 'oci:../out',
      tags: ['v1.2.3', 'latest'],
    });
    const blob = (digest: string) =>
      readFile(join(folder.path, 'out/blobs', digest.replace(':', '/')), 'utf8').then(JSON.parse);
    const manifest = await blob(result.digest);
    expect(manifest.annotations).toEqual({
      'org.opencontainers.image.created': '2024-02-29T11:00:00Z',
      'org.opencontainers.image.licenses': 'MIT',
      'org.opencontainers.image.revision': git(repo, 'rev-parse', 'HEAD').trim(),
      'org.opencontainers.image.source': 'https://github.com/K4all/Demo',
      'org.opencontainers.image.version': 'v1.2.3',
      x: '1,2',
    });
    const back = await k4all(repo, ['--extract', 'oci:../out:latest', '../back', '--json']);
    expect([back.code, JSON.parse(back.stdout).digest]).toEqual([0, result.digest]);
    expect(await readFile(join(folder.path, 'back/a'), 'utf8')).toBe('a');
    expect(await readdir(folder.path)).toEqual(['back', 'out', 'repo']);
  });

  it('mounts what the image named after the GitHub repository holds already', async () => {
    await using folder = await temporaryFolder();
    await using registry = await faultyRegistry();
    const repo = await repository(join(folder.path, 'repo'), { a: 'a' });
    const push = (image: string) =>
      k4all(repo, ['--image', `${registry.host}/${image}`, '--tags', 'v1', '--insecure'], {
        GITHUB_REPOSITORY: 'Owner/Name',
      });
    expect(await push('Owner/Name')).toMatchObject({ code: 0, stderr: expect.stringContaining(': uploaded') });
    registry.others.set('owner/name', new Map(registry.blobs));
    registry.blobs.clear();
    registry.requests.length = 0;
    expect(await push('owner/sources')).toMatchObject({ code: 0, stderr: expect.stringMatching(/: mounted/) });
    expect(registry.requests.some(({ path, method }) => method !== 'POST' && path.includes('/uploads/'))).toBe(false);
    expect(registry.blobs.size).toBe(2);
  });

  it.each([
    [['--image', 'nothing'], /"image" is "nothing"/],
    [['--image', 'oci:x', '--tags', 'a b'], /"tags" holds "a b"/],
    [['--image', 'oci:x', '--prefix', 'src'], /"prefix" is "src"/],
    [['--image', 'oci:x', '--labels', 'novalue'], /"labels" holds "novalue"/],
    [['--extract', 'oci:x'], /"extract" takes REF and DIR/],
    [[], /"image" is not set/],
  ])('calls %j wrong usage', async (args, message) => {
    await using folder = await temporaryFolder();
    const { code, stderr } = await k4all(folder.path, args);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(existsSync(join(folder.path, 'x'))).toBe(false);
  });

  it('fails where a look at the disk was needed', async () => {
    await using folder = await temporaryFolder();
    expect((await k4all(folder.path, ['--context', 'nowhere', '--image', 'oci:x'])).code).toBe(1);
    expect((await k4all(folder.path, ['--extract', 'oci:nowhere', 'out'])).code).toBe(1);
  });
});
