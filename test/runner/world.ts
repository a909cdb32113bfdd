import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { writeDemoBase } from '../../scripts/demo-base.ts';
import { buildIso } from '../iso/iso-builder.ts';
import { liveTree, VOLUME_ID } from '../iso/layouts.ts';
import { FcosServer } from '../support/fcos-server.ts';
import { GitHubServer } from '../support/github-server.ts';
import { makeKey, sha256, signImage } from '../support/images.ts';
import { git } from '../support/repository.ts';
import { type ActOptions, type ActRun, runAct } from './act.ts';

const SUITE = resolve(import.meta.dirname, '../..');

/** What a workflow of a user meets: their repository, Fedora's servers and GitHub. */
export interface World extends AsyncDisposable {
  /** A checkout of k4all/demo, one commit on `main`. */
  readonly checkout: string;
  readonly github: GitHubServer;
  readonly fedora: FcosServer;
  /** Runs a workflow of theirs, with what leads to the stand-ins, and `env`, as its environment. */
  run(options: Omit<ActOptions, 'cwd' | 'scratch' | 'secrets' | 'env'>, env?: ActOptions['env']): Promise<ActRun>;
}

/** What the event tells of a push of this ref to the repository. */
export function push(ref: string): object {
  return { ref, repository: { full_name: 'k4all/demo' } };
}

export interface WorldOptions {
  /** The live ISO for x86_64; a small one that doesn't boot where it isn't given. */
  readonly base?: string;
  /** The `live` of the definition. */
  readonly live?: object;
}

/** A k4all repository whose definition leads to stand-ins on the loopback. */
export async function startWorld(folder: string, { base, live }: WorldOptions = {}): Promise<World> {
  const [github, fedora] = await Promise.all([GitHubServer.start(), FcosServer.start()]);
  const checkout = join(folder, 'demo');
  await cp(join(SUITE, 'examples/cluster'), checkout, { recursive: true });
  const key = await makeKey('Fedora stand-in');
  await writeFile(join(checkout, 'fedora.asc'), key.armored);
  await serveStream(base ?? (await smallBase(folder)), fedora, key);
  const coreos = { stream: 'stable', 'stream-url': fedora.url('/stable.json'), keyring: ['fedora.asc'] };
  await writeFile(join(checkout, 'k4all.yaml'), stringify({ coreos, 'disk-size': '1G', ...(live && { live }) }));
  git(checkout, 'init', '--quiet', '--initial-branch=main');
  git(checkout, 'remote', 'add', 'origin', 'https://github.com/k4all/demo.git');
  git(checkout, 'add', '--all');
  git(checkout, 'commit', '--quiet', '--message', 'A cluster');
  return {
    checkout,
    github,
    fedora,
    run: (options, env) =>
      runAct({
        ...options,
        ...{ cwd: checkout, scratch: join(folder, 'act'), secrets: { GITHUB_TOKEN: github.token } },
        env: { GITHUB_API_URL: github.apiUrl, ...env },
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all([github[Symbol.asyncDispose](), fedora[Symbol.asyncDispose]()]);
    },
  };
}

async function smallBase(folder: string): Promise<string> {
  const path = join(folder, 'base.iso');
  await writeDemoBase(path);
  return path;
}

async function serveStream(base: string, fedora: FcosServer, key: Awaited<ReturnType<typeof makeKey>>): Promise<void> {
  const images = { x86_64: await readFile(base), aarch64: armIso() };
  const architectures: Record<string, object> = {};
  for (const [architecture, image] of Object.entries(images)) {
    const path = `/fedora-coreos-44.1.0-live-iso.${architecture}.iso`;
    fedora.serve(path, image);
    fedora.serve(`${path}.sig`, await signImage(image, key));
    const disk = { location: fedora.url(path), signature: fedora.url(`${path}.sig`), sha256: sha256(image) };
    architectures[architecture] = { artifacts: { metal: { release: '44.1.0', formats: { iso: { disk } } } } };
  }
  const metadata = { 'last-modified': '2026-11-01T00:00:00Z' };
  fedora.serve('/stable.json', JSON.stringify({ stream: 'stable', metadata, architectures }));
}

/** A live ISO for Arm: it isn't hybrid. */
function armIso(): Buffer {
  const tree = liveTree('igninfo');
  tree.set('EFI/BOOT/BOOTAA64.EFI', Buffer.from('boot loader\n'));
  return buildIso(tree, { volumeId: VOLUME_ID, hybrid: false }).image;
}

/**
 * Puts a workflow of the docs into the checkout, as it stands there; commits it. Returns its path.
 *
 * @param more YAML of further jobs
 */
export async function addDocumentedWorkflow(world: World, name: string, more = ''): Promise<string> {
  const page = await readFile(join(SUITE, 'docs/workflows.md'), 'utf8');
  const block = [...page.matchAll(/```yaml\n(# (\.github\/workflows\/[\w-]+\.yml)\n[\s\S]*?)```/g)].find(
    ([, , path]) => path === `.github/workflows/${name}.yml`,
  );
  if (!block) throw new Error(`docs/workflows.md has no workflow ${name}`);
  const [, text = '', path = ''] = block;
  await mkdir(join(world.checkout, '.github/workflows'), { recursive: true });
  await writeFile(join(world.checkout, path), text + more);
  git(world.checkout, 'add', '--all');
  git(world.checkout, 'commit', '--quiet', '--message', `Add ${name}`);
  return path;
}
