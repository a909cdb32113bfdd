import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { basename, delimiter, join, resolve } from 'node:path';
import { peer } from '../support/peers.ts';
import { readZip } from '../support/zip.ts';
import { writeArtifactAction } from './artifacts/actions.ts';
import { artifactFront } from './artifacts/front.ts';

const SUITE = resolve(import.meta.dirname, '../..');
/** Pinned actions that act can't fetch here; all have stand-ins. */
const UPLOAD_ARTIFACT = 'actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f';
const DOWNLOAD_ARTIFACT = 'actions/download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131';
const SETUP_NODE = 'actions/setup-node@6044e13b5dc448c55e2357c09f80417699197238';

export interface ActRun {
  readonly code: number;
  /** One line per message: `[workflow/job] text`, without colours. */
  readonly log: string;
  /** What the run has attached: the files of each artifact. */
  readonly artifacts: ReadonlyMap<string, ReadonlyMap<string, Buffer>>;
}

export interface ActOptions {
  readonly cwd: string;
  readonly workflow: string;
  readonly event: 'push' | 'workflow_dispatch';
  /** The event's JSON. */
  readonly payload?: object;
  readonly job?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: Readonly<Record<string, string>>;
  readonly variables?: Readonly<Record<string, string>>;
  /** A folder whose programs go before all others. */
  readonly path?: string;
  /** Takes act's caches, artifacts and temporary files. */
  readonly scratch: string;
}

/** Runs a workflow on this host, with act's own artifact and cache servers. */
export async function runAct(options: ActOptions): Promise<ActRun> {
  const { scratch, payload = {} } = options;
  await mkdir(join(scratch, 'tmp'), { recursive: true });
  const eventPath = join(scratch, 'event.json');
  await writeFile(eventPath, JSON.stringify(payload));
  const artifacts = join(scratch, 'artifacts');
  const artifactPort = await freePort();
  await using front = await artifactFront(artifactPort);
  const args = [
    ...[options.event, '-W', options.workflow, '-e', eventPath, '--pull=false'],
    ...['ubuntu-latest', 'macos-latest', 'windows-latest'].flatMap((label) => ['-P', `${label}=-self-hosted`]),
    ...(options.job ? ['-j', options.job] : []),
    ...pairs('--local-repository', {
      'k4all/build-iso@v1': await shippedSuite(scratch),
      [UPLOAD_ARTIFACT]: await writeArtifactAction('upload', scratch),
      [DOWNLOAD_ARTIFACT]: await writeArtifactAction('download', scratch),
      [SETUP_NODE]: join(import.meta.dirname, 'setup-node'),
    }),
    ...['--artifact-server-addr', '127.0.0.1', '--artifact-server-path', artifacts],
    ...['--artifact-server-port', String(artifactPort)],
    ...['--cache-server-addr', '127.0.0.1', '--cache-server-path', join(scratch, 'cache')],
    ...['--action-cache-path', join(scratch, 'actions'), '--action-offline-mode', '--env-file', '/dev/null'],
    ...pairs('--env', options.env),
    ...pairs('-s', options.secrets),
    ...pairs('--var', options.variables),
  ];
  const env = {
    ...process.env,
    PATH: [...(options.path ? [options.path] : []), process.env.PATH].join(delimiter),
    ...{ TMPDIR: join(scratch, 'tmp'), XDG_CACHE_HOME: join(scratch, 'xdg'), NO_COLOR: '1' },
    // What act tells the jobs instead of its artifact server's own address.
    ACTIONS_RUNTIME_URL: front.url,
  };
  const run = await new Promise<Pick<ActRun, 'code' | 'log'>>((done) => {
    execFile(peer('act').path, args, { cwd: options.cwd, env, maxBuffer: 64 * 1024 ** 2 }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 128) : 0;
      done({ code, log: stdout + stderr });
    });
  });
  return { ...run, artifacts: await readArtifacts(artifacts) };
}

/** act's server keeps `<run>/<name>/<name>.zip`. */
async function readArtifacts(folder: string): Promise<ActRun['artifacts']> {
  const paths = await readdir(folder, { recursive: true }).catch(() => []);
  const zips = paths.filter((path) => path.endsWith('.zip'));
  const entries = zips.map(async (path) => {
    return [basename(path, '.zip'), readZip(await readFile(join(folder, path)))] as const;
  });
  return new Map(await Promise.all(entries));
}

/** What a tag of the suite holds for its users; act copies the whole folder into memory, so it has no `node_modules`. */
async function shippedSuite(scratch: string): Promise<string> {
  const suite = join(scratch, 'suite');
  for (const part of ['action.yml', 'actions', 'dist', '.github']) {
    await cp(join(SUITE, part), join(suite, part), { recursive: true });
  }
  return suite;
}

function pairs(option: string, values: Readonly<Record<string, string>> = {}): string[] {
  return Object.entries(values).flatMap(([name, value]) => [option, `${name}=${value}`]);
}

/** A port that nobody listens on now; act takes no 0 for its artifact server. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  if (typeof address !== 'object' || !address) throw new Error('no port');
  return address.port;
}
