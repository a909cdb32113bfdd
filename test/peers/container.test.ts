import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { parseInputs } from '../../src/commands/inputs.ts';
import { command } from '../../src/commands/source-container.ts';
import { bytesBlob } from '../../src/container/blob-source.ts';
import { uploadBlob } from '../../src/container/blobs.ts';
import { Registry } from '../../src/container/registry.ts';
import type { Host } from '../../src/host/host.ts';
import { RegistryProcess, tokenFront } from '../support/docker-registry.ts';
import { describeWithPeers } from '../support/peers.ts';
import { digestOf } from '../support/registry.ts';
import { git, repository, temporaryFolder } from '../support/repository.ts';

const run = promisify(execFile);

interface TestHost extends Host {
  readonly log: string[];
}

function host(cwd: string, env: Record<string, string> = {}): TestHost {
  const log: string[] = [];
  const say = (message: string) => void log.push(message);
  return {
    kind: 'terminal',
    env: { HOME: cwd, XDG_RUNTIME_DIR: cwd, PATH: process.env.PATH, ...env },
    cwd,
    signal: new AbortController().signal,
    debug: say,
    info: say,
    notice: say,
    warning: say,
    report: ({ message }) => say(message),
    group: (_title, work) => work(),
    progress: () => ({ total: () => {}, advance: () => {}, [Symbol.dispose]() {} }),
    summary: async () => {},
    secret: () => {},
    log,
  };
}

function publish(given: Record<string, string[]>, where: Host) {
  return command.run(parseInputs(command.inputs, given), where);
}

/** A repository with everything that git and tar are particular about, larger than a chunk of an upload. */
async function particular(folder: string): Promise<string> {
  const noise = Array.from({ length: 200_000 }, (_, i) => createHash('sha256').update(String(i)).digest());
  const repo = await repository(folder, {
    'README.md': 'hello\n',
    'run.sh*': '#!/bin/sh\n',
    'ä ö ü/ß': 'umlauts\n',
    [`${'long/'.repeat(30)}${'name'.repeat(30)}`]: 'long\n',
    'empty/file': '',
    'large.bin': Buffer.concat(noise),
  });
  await symlink('../README.md', join(repo, 'empty/link'));
  await symlink('x'.repeat(150), join(repo, 'long-link'));
  git(repo, 'add', '-A');
  git(repo, 'commit', '-q', '-m', 'links');
  return repo;
}

/** One line per path: kind, mode, target or digest. */
async function listing(folder: string): Promise<string> {
  const format =
    'find . -mindepth 1 \\( -type f -printf "%p f %m " -exec sh -c \'sha256sum < "$1"\' _ {} \\; \\) -o -printf "%p %y %m %l\\n"';
  const { stdout } = await run('sh', ['-c', `${format} | LC_ALL=C sort`], { cwd: folder });
  return stdout;
}

async function gitArchive(repo: string, folder: string): Promise<string> {
  await run('sh', [
    '-c',
    'mkdir "$2" && git -C "$1" -c tar.umask=0022 archive HEAD | tar -xp -C "$2"',
    '_',
    repo,
    folder,
  ]);
  return listing(folder);
}

describeWithPeers(
  'source-container beside docker-registry, the one of go-containerregistry, skopeo and podman',
  ['docker-registry', 'go-containerregistry', 'skopeo', 'podman', 'git'],
  () => {
    it.each([
      ['docker-registry', RegistryProcess.docker],
      ['go-containerregistry', RegistryProcess.goContainerRegistry],
    ])(
      'gives the bytes and modes of git archive through %s, by skopeo, by podman cp and by --extract',
      async (_, start) => {
        await using folder = await temporaryFolder();
        await using registry = await start(join(folder.path, 'registry'));
        const repo = await particular(join(folder.path, 'repo'));
        const expected = await gitArchive(repo, join(folder.path, 'archive'));
        const image = `${registry.host}/owner/name`;
        const inputs = { context: [repo], image: [image], tags: ['v1.2.3', 'latest'], insecure: ['true'] };
        const result = await publish(inputs, host(folder.path));
        const { stdout } = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${image}:latest`]);
        expect(JSON.parse(stdout)).toMatchObject({
          Digest: result.digest,
          RepoTags: expect.arrayContaining(['latest', 'v1.2.3']),
        });
        await run('skopeo', [
          'copy',
          '-q',
          '--src-tls-verify=false',
          `docker://${image}:v1.2.3`,
          `oci:${join(folder.path, 'copy')}:x`,
        ]);

        const again = host(folder.path);
        await publish(inputs, again);
        expect(again.log.join('\n')).toContain('nothing transferred');

        await publish({ extract: [`${image}:v1.2.3`, 'pulled'], insecure: ['true'] }, host(folder.path));
        expect(await listing(join(folder.path, 'pulled'))).toBe(expected);
        await publish({ extract: ['oci:copy:x', 'copied'] }, host(folder.path));
        expect(await listing(join(folder.path, 'copied'))).toBe(expected);

        const storage = [
          '--root',
          join(folder.path, 'podman'),
          '--runroot',
          join(folder.path, 'run'),
          '--storage-driver',
          'vfs',
        ];
        const created = await run('podman', [...storage, 'create', '-q', '--tls-verify=false', `${image}:v1.2.3`]);
        await run('podman', [...storage, 'cp', `${created.stdout.trim()}:/src/.`, join(folder.path, 'podman-copy')]);
        expect(await listing(join(folder.path, 'podman-copy'))).toBe(expected);
      },
    );

    it('mounts what the image named after the GitHub repository holds already', async () => {
      await using folder = await temporaryFolder();
      await using registry = await RegistryProcess.docker(join(folder.path, 'registry'));
      await using front = await tokenFront(registry.host, { account: 'user:secret', publicPull: false });
      const repo = await particular(join(folder.path, 'repo'));
      const where = host(folder.path, { GITHUB_REPOSITORY: 'Owner/Name' });
      const push = (image: string) =>
        publish(
          {
            context: [repo],
            image: [`${front.host}/${image}`],
            tags: ['v1.0.0'],
            insecure: ['true'],
            username: ['user'],
            token: ['secret'],
          },
          where,
        );
      const first = await push('owner/name');
      front.requests.length = 0;
      expect(await push('owner/sources')).toMatchObject({ digest: first.digest });
      expect(where.log.join('\n')).toContain('mounted from another repository');
      expect(front.requests.filter((line) => /^(PATCH|PUT .*uploads)/.test(line))).toEqual([]);
      await run('skopeo', [
        'copy',
        '-q',
        '--src-tls-verify=false',
        '--src-creds=user:secret',
        `docker://${front.host}/owner/sources:v1.0.0`,
        `oci:${join(folder.path, 'copy')}:x`,
      ]);
    });

    it('works behind a token server like that of ghcr.io, with tokens that expire half-way', async () => {
      await using folder = await temporaryFolder();
      await using registry = await RegistryProcess.docker(join(folder.path, 'registry'));
      await using front = await tokenFront(registry.host, { account: 'user:secret', publicPull: false, uses: 4 });
      const repo = await particular(join(folder.path, 'repo'));
      const inputs = {
        context: [repo],
        image: [`${front.host}/User/Image`],
        tags: ['v1.0.0'],
        insecure: ['true'],
        username: ['user'],
      };
      const where = host(folder.path);
      const result = await publish({ ...inputs, token: ['secret'] }, where);
      expect(result).toMatchObject({ image: `${front.host}/user/image`, tags: ['v1.0.0'] });
      expect(front.tokens).toBeGreaterThan(1);
      expect(where.log.join('\n')).toMatch(/is private/);
      expect(where.log.join('\n')).not.toContain('secret');
      await expect(publish({ ...inputs, token: ['wrong'] }, host(folder.path))).rejects.toThrow(
        /403.*packages: write/s,
      );
      await expect(publish(inputs, host(folder.path))).rejects.toThrow(/No credentials.*packages: write/s);
    });

    it('survives a registry that is killed in the middle of an upload', async () => {
      await using folder = await temporaryFolder();
      await using registry = await RegistryProcess.docker(join(folder.path, 'registry'));
      const bytes = Buffer.alloc(1_000_000, 'x');
      const blob = bytesBlob({ mediaType: 'x', digest: digestOf(bytes), size: bytes.length }, bytes);
      const client = await Registry.connect({
        host: registry.host,
        repository: 'a/b',
        insecure: true,
        actions: 'pull,push',
      });
      let killed: Promise<void> | undefined;
      let sent = 0;
      const advance = (count: number) => {
        sent += count;
        if (sent > 400_000) killed ??= registry.kill().then(() => registry.run());
      };
      expect(await uploadBlob(client, blob, { chunkSize: 100_000, progress: { total: () => {}, advance } })).toBe(
        'uploaded',
      );
      await killed;
      const stored = await fetch(`http://${registry.host}/v2/a/b/blobs/${blob.descriptor.digest}`);
      expect(digestOf(Buffer.from(await stored.arrayBuffer()))).toBe(blob.descriptor.digest);
      expect(sent).toBe(bytes.length);
    });
  },
);
