import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type Argv, type Bench, benchFolder } from './harness.ts';

const run = promisify(execFile);
const cli = resolve(import.meta.dirname, '../dist/cli.js');
const FILES = 1000;
const FILE_SIZE = 100_000;

/** 1,000 files and 100 MB to a local registry: a build and a push, beside Buildah and Podman. */
export async function bench(): Promise<Bench[]> {
  const folder = await mkdtemp(join(benchFolder(), 'k4all-bench-container-'));
  process.once('exit', () => cleanUp(folder));
  const benches: Bench[] = [];
  for (const kind of ['text', 'random'] as const) {
    const tree = await makeTree(join(folder, kind), kind);
    const host = await startRegistry(join(folder, `${kind}-registry`));
    let round = 0;
    // A new name each time: nothing is there, and nothing can be mounted.
    const name = () => `${host}/bench/image${round++}`;
    const ours = (image: string): Argv => [
      process.execPath,
      cli,
      'source-container',
      '--context',
      tree,
      '--insecure',
      '--image',
      image,
      '--tags',
      'v1',
    ];
    const pushed = `${host}/bench/pushed`;
    benches.push({
      title: `1,000 files, 100 MB of ${kind}, to a local registry`,
      reach: '≤ 0.5 of buildah and podman',
      contenders: [
        { name: 'k4all source-container', steps: () => [ours(name())] },
        {
          name: 'buildah bud, podman push',
          needs: ['buildah', 'podman'],
          prepare: (work) => writeFile(join(work, 'Containerfile'), 'FROM scratch\nCOPY . /src\nCMD ["/true"]\n'),
          steps: (work) => {
            const tag = `localhost/k4all-bench:${process.pid}-${kind}${round++}`;
            built.push(tag);
            const build: Argv = [
              'buildah',
              'bud',
              '-q',
              '--no-cache',
              '-f',
              join(work, 'Containerfile'),
              '-t',
              tag,
              tree,
            ];
            return [build, ['podman', 'push', '-q', '--tls-verify=false', tag, name()]];
          },
        },
        {
          name: 'k4all source-container, pushed before',
          steps: () => [ours(pushed)],
          prepare: async () => void (await pushOnce(ours(pushed))),
        },
      ],
    });
  }
  return benches;
}

/** The images that Buildah keeps in the user's storage. */
const built: string[] = [];
const registries: ChildProcess[] = [];

/** A gigabyte or two would stay behind. */
function cleanUp(folder: string): void {
  for (const registry of registries) registry.kill('SIGKILL');
  if (built.length > 0) spawnSync('buildah', ['rmi', '--force', ...built], { stdio: 'ignore' });
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
}

const pushedOnce = new Map<string, Promise<unknown>>();

function pushOnce([program, ...args]: Argv): Promise<unknown> {
  const key = args.join(' ');
  const known = pushedOnce.get(key) ?? run(program, args);
  pushedOnce.set(key, known);
  return known;
}

async function makeTree(folder: string, kind: 'text' | 'random'): Promise<string> {
  for (let index = 0; index < FILES; index++) {
    const below = join(folder, `folder${index % 37}`);
    await mkdir(below, { recursive: true });
    await writeFile(join(below, `file${index}`), content(kind, index));
  }
  await writeFile(join(folder, '.dockerignore'), '.git\n');
  const git = (...args: string[]) =>
    run('git', ['-c', 'user.name=b', '-c', 'user.email=b@example.invalid', ...args], { cwd: folder });
  await git('init', '-q');
  await git('add', '-A');
  await git('commit', '-q', '-m', 'sources');
  await git('repack', '-q', '-a', '-d');
  return folder;
}

/** The same bytes in every run. */
function content(kind: 'text' | 'random', seed: number): Buffer {
  const parts: Buffer[] = [];
  for (let size = 0, count = 0; size < FILE_SIZE; count++) {
    const digest = createHash('sha256').update(`${seed} ${count}`).digest();
    const words = () => Array.from(digest, (byte) => WORDS[byte % WORDS.length]).join(' ');
    const part = kind === 'random' ? digest : Buffer.from(`${words()}\n`);
    parts.push(part);
    size += part.length;
  }
  return Buffer.concat(parts).subarray(0, FILE_SIZE);
}

const WORDS =
  'if the return const value = function ( ) { } => import from string number await for of new this error'.split(' ');

async function startRegistry(folder: string): Promise<string> {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((ready) => probe.once('listening', ready));
  const { port } = probe.address() as { port: number };
  await new Promise((closed) => probe.close(closed));
  await mkdir(folder);
  const config = join(folder, 'config.yml');
  const storage = `storage: {filesystem: {rootdirectory: ${join(folder, 'data')}}}`;
  await writeFile(config, `version: 0.1\nlog: {level: error}\n${storage}\nhttp: {addr: 127.0.0.1:${port}}\n`);
  const registry = spawn('docker-registry', ['serve', config], { stdio: 'ignore' });
  registries.push(registry);
  registry.unref();
  await new Promise((started) => setTimeout(started, 1000));
  return `127.0.0.1:${port}`;
}
