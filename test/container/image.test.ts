import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Ajv } from 'ajv';
import { pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { extractSources, unpackLayer } from '../../src/container/extract.ts';
import { buildImage, type Image } from '../../src/container/image.ts';
import { readGitTree, writeLayer } from '../../src/container/index.ts';
import { writeArchive, writeLayout } from '../../src/container/layout.ts';
import { layoutSource, unpackArchive } from '../../src/container/pull.ts';
import type { SourceTree } from '../../src/container/tree.ts';
import { digestOf } from '../support/registry.ts';
import { git, repository, temporaryFolder } from '../support/repository.ts';

const FILES = { 'README.md': 'hello\n', 'scripts/run.sh*': '#!/bin/sh\n', 'deep/er/file': Buffer.alloc(100, 7) };

async function imageOf(repo: string, work: string, compression: 'gzip' | 'zstd' = 'gzip'): Promise<Image> {
  await mkdir(work, { recursive: true });
  const tree = await readGitTree(repo, '');
  const layer = await writeLayer(tree, '/src', join(work, `layer-${Math.random()}`), { compression });
  const labels = { b: '2', a: '1' };
  return buildImage(layer, {
    time: tree.time,
    prefix: '/src',
    labels,
    annotations: { 'org.opencontainers.image.revision': tree.revision ?? '' },
  });
}

/** The schemas are draft 4, of which they use nothing that later drafts changed but `id`. */
async function schemas(): Promise<Ajv> {
  const ajv = new Ajv({ strict: false, validateFormats: false });
  const folder = join(import.meta.dirname, '../data/oci-schemas');
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.json'))) {
    const text = await readFile(join(folder, name), 'utf8');
    const schema = JSON.parse(text, (key, value) =>
      (key === 'id' || key === '$schema') && typeof value === 'string' ? undefined : value,
    );
    ajv.addSchema(schema, name);
  }
  return ajv;
}

describe('an image', () => {
  it('is what the schemas of the OCI image specification ask for', async () => {
    await using folder = await temporaryFolder();
    await repository(join(folder.path, 'repo'), FILES);
    const image = await imageOf(join(folder.path, 'repo'), folder.path);
    await writeLayout(join(folder.path, 'layout'), image, ['v1', 'latest']);
    const ajv = await schemas();
    const index = await readFile(join(folder.path, 'layout/index.json'));
    const layout = await readFile(join(folder.path, 'layout/oci-layout'));
    for (const [name, bytes] of [
      ['config-schema.json', image.config.bytes],
      ['image-manifest-schema.json', image.manifest.bytes],
      ['image-index-schema.json', index],
      ['image-layout-schema.json', layout],
    ] as const) {
      expect([name, ajv.validate(name, JSON.parse(bytes.toString())), ajv.errorsText()]).toEqual([
        name,
        true,
        'No errors',
      ]);
    }
    expect(ajv.validate('image-manifest-schema.json', { schemaVersion: 1 })).toBe(false);
    expect(JSON.parse(image.config.bytes.toString())).toMatchObject({
      config: { Cmd: ['/true'], WorkingDir: '/src', Labels: { a: '1', b: '2' } },
      created: '2024-02-29T11:00:00Z',
    });
  });

  it('has one digest: on a second run, from another clone, with another umask, zone and work tree', async () => {
    await using folder = await temporaryFolder();
    const repo = await repository(join(folder.path, 'repo'), FILES);
    git(repo, 'config', 'tar.umask', '0077');
    const clone = join(folder.path, 'clone');
    git(folder.path, 'clone', '-q', repo, clone);
    await chmod(join(clone, 'README.md'), 0o666);
    await writeFile(join(clone, 'untracked'), 'x');
    const before = { umask: process.umask(0o077), zone: process.env.TZ };
    process.env.TZ = 'Pacific/Chatham';
    const digests = [await imageOf(clone, folder.path)];
    process.umask(before.umask);
    process.env.TZ = before.zone ?? 'UTC';
    digests.push(await imageOf(repo, folder.path), await imageOf(repo, folder.path));
    // Also a golden digest: the same on every system.
    const found = new Set(digests.map(({ layer }) => layer.descriptor.digest));
    expect([...found]).toMatchInlineSnapshot(`
      [
        "sha256:c25744fa3644c0b9194e715c132ea73b9f68dd36486b691e071a598b9c43794a",
      ]
    `);
    expect(new Set(digests.map(({ manifest }) => manifest.descriptor.digest)).size).toBe(1);
  });

  it('holds neither .git nor an untracked file', async () => {
    await using folder = await temporaryFolder();
    const repo = await repository(join(folder.path, 'repo'), FILES);
    const token = 'ghs_0123456789abcdefghijABCDEFGHIJ012345';
    git(repo, 'config', 'http.https://github.com/.extraheader', `AUTHORIZATION: basic ${token}`);
    await writeFile(join(repo, '.env'), `TOKEN=${token}`);
    const image = await imageOf(repo, folder.path);
    const tar = gunzipSync(await readFile(image.layer.path));
    expect(tar.includes(token)).toBe(false);
    expect(tar.includes('.git/')).toBe(false);
    expect(tar.includes('scripts/run.sh')).toBe(true);
  });
});

describe('a layer', () => {
  it('that is interrupted says so, and leaves its source', async () => {
    await using folder = await temporaryFolder();
    const content = Buffer.alloc(3_000_000, 'text ');
    const files = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`file${i}`, content]));
    const tree = await readGitTree(await repository(join(folder.path, 'repo'), files), '');
    for (const after of [1, 4_000_000, 20_000_000]) {
      const interruption = new AbortController();
      let bytes = 0;
      const advance = (count: number) => {
        bytes += count;
        if (bytes >= after) interruption.abort(new Error('interrupted'));
      };
      const { signal } = interruption;
      const options = { progress: { total: () => {}, advance }, signal };
      await expect(writeLayer(tree, '/src', join(folder.path, `${after}`), options)).rejects.toThrow('interrupted');
    }
  });

  it('whose source fails, or is longer than it said, is an error', async () => {
    await using folder = await temporaryFolder();
    let left = 0;
    const entry = { path: 'a', kind: 'file' } as const;
    const tree = (content: Buffer[], size: number): SourceTree => ({
      entries: [entry],
      time: 0,
      revision: undefined,
      remarks: [],
      async *contents() {
        const body = async function* () {
          yield* content;
          if (size > 9_000_000) throw new Error('unreadable');
        };
        try {
          yield { entry, size, body: body() };
        } finally {
          left++;
        }
      },
    });
    const write = (content: Buffer[], size: number) =>
      writeLayer(tree(content, size), '/src', join(folder.path, `layer${left}`));
    await expect(write([Buffer.alloc(8_000_000)], 9_500_000)).rejects.toThrow('unreadable');
    await expect(write([Buffer.alloc(6)], 5)).rejects.toThrow(/a changed while it was read/);
    await expect(write([Buffer.alloc(4)], 5)).rejects.toThrow(/a changed while it was read/);
    expect(left).toBe(3);
  });
});

describe('an image on disk', () => {
  it.each(['gzip', 'zstd'] as const)('gives the sources back (%s)', async (compression) => {
    await using folder = await temporaryFolder();
    const repo = await repository(join(folder.path, 'repo'), FILES);
    await symlink('../README.md', join(repo, 'scripts/link'));
    git(repo, 'add', '-A');
    git(repo, 'commit', '-q', '-m', 'link');
    const image = await imageOf(repo, folder.path, compression);
    const archive = join(folder.path, 'image.tar');
    await writeArchive(archive, image, ['v1', 'latest']);
    await unpackArchive(archive, join(folder.path, 'unpacked'));
    const out = join(folder.path, 'out');
    const options = { source: layoutSource(join(folder.path, 'unpacked')), tag: 'latest', prefix: '/src' };
    expect(await extractSources(out, options)).toBe(image.manifest.descriptor.digest);
    expect(await readFile(join(out, 'README.md'), 'utf8')).toBe('hello\n');
    expect(await readlink(join(out, 'scripts/link'))).toBe('../README.md');
    expect((await lstat(join(out, 'scripts/run.sh'))).mode & 0o777).toBe(0o755);
    expect((await lstat(join(out, 'README.md'))).mtimeMs).toBe(Date.parse('2024-02-29T11:00:00Z'));
    await expect(extractSources(out, options)).rejects.toThrow(/is not empty/);
    await expect(extractSources(`${out}2`, { ...options, tag: 'v2' })).rejects.toThrow(
      /has no "v2": it has "v1", "latest"/,
    );
    expect(await readdir(folder.path)).not.toContain('out2');
  });

  it('adds to a layout, moves tags, and replaces nothing else', async () => {
    await using folder = await temporaryFolder();
    const repo = await repository(join(folder.path, 'repo'), FILES);
    const first = await imageOf(repo, folder.path);
    await writeFile(join(repo, 'README.md'), 'changed');
    git(repo, 'commit', '-q', '-a', '-m', 'two');
    const second = await imageOf(repo, folder.path);
    const layout = join(folder.path, 'layout');
    await writeLayout(layout, first, ['v1', 'latest']);
    await writeLayout(layout, second, ['v2', 'latest']);
    await writeLayout(layout, second, ['v2', 'latest']);
    const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'));
    const tags = manifests.map((m: { annotations: Record<string, string>; digest: string }) => [
      m.annotations['org.opencontainers.image.ref.name'],
      m.digest,
    ]);
    const digest = second.manifest.descriptor.digest;
    expect(tags).toEqual([
      ['v1', first.manifest.descriptor.digest],
      ['v2', digest],
      ['latest', digest],
    ]);
    await expect(writeLayout(repo, first, ['v1'])).rejects.toThrow(/something else than an OCI layout/);
    const archive = join(folder.path, 'a.tar');
    await writeArchive(archive, first, ['v1']);
    await writeArchive(archive, first, ['v1']);
    await expect(writeArchive(archive, second, ['v1'])).rejects.toThrow(/exists already/);
    expect(digestOf(await readFile(archive))).toBe(digestOf(await readFile(archive)));
  });

  it('is an error where a blob is damaged', async () => {
    await using folder = await temporaryFolder();
    const repo = await repository(join(folder.path, 'repo'), FILES);
    const image = await imageOf(repo, folder.path);
    const layout = join(folder.path, 'layout');
    await writeLayout(layout, image, ['v1']);
    const path = join(layout, 'blobs', image.layer.descriptor.digest.replace(':', '/'));
    await writeFile(path, 'damaged');
    const options = { source: layoutSource(layout), tag: undefined, prefix: '/src' };
    await expect(extractSources(join(folder.path, 'out'), options)).rejects.toThrow(/are damaged/);
    await writeLayout(layout, image, ['v1']);
    await extractSources(join(folder.path, 'out'), options);
  });
});

describe('a hostile layer', () => {
  async function unpack(entries: (archive: ReturnType<typeof pack>) => void, folder: string): Promise<void> {
    const archive = pack();
    entries(archive);
    archive.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of archive as AsyncIterable<Buffer>) chunks.push(chunk);
    await writeFile(join(folder, 'layer'), Buffer.concat(chunks));
    await mkdir(join(folder, 'out'));
    await unpackLayer(join(folder, 'layer'), 'application/vnd.oci.image.layer.v1.tar', '/src', join(folder, 'out'));
  }

  it('writes nothing outside, through no link, and makes no devices', async () => {
    await using first = await temporaryFolder();
    await expect(unpack((a) => a.entry({ name: 'src/../../evil' }, 'x'), first.path)).rejects.toThrow(/leads out/);
    await using second = await temporaryFolder();
    const throughLink = unpack((a) => {
      a.entry({ name: 'src/link', type: 'symlink', linkname: second.path });
      a.entry({ name: 'src/link/evil' }, 'x');
    }, second.path);
    await expect(throughLink).rejects.toThrow(/EEXIST/);
    expect(await readdir(second.path)).not.toContain('evil');
    await using third = await temporaryFolder();
    const device = unpack(
      (a) => a.entry({ name: 'src/dev', type: 'character-device', devmajor: 1, devminor: 3 }),
      third.path,
    );
    await expect(device).rejects.toThrow(/character-device/);
  });
});
