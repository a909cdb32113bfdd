import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noProgress } from '../../src/io/progress.ts';
import { publishRelease, type ReleaseRequest, type ReleaseResult } from '../../src/release/index.ts';
import type { GitHubServer } from './github-server.ts';

/** A second of waiting in the tests of releases, in milliseconds. */
const SECOND = 2;

export interface Log {
  readonly lines: string[];
}

/** Runs a phase against the stand-in. */
export function release(
  server: GitHubServer,
  request: Partial<ReleaseRequest>,
  options: { log?: Log; token?: string; signal?: AbortSignal } = {},
): Promise<ReleaseResult> {
  const write = (message: string) => void options.log?.lines.push(message);
  return publishRelease(
    { phase: 'all', ...request },
    {
      github: {
        apiUrl: server.apiUrl,
        repository: 'k4all/demo',
        token: options.token ?? server.token,
        second: SECOND,
        signal: options.signal,
        debug: write,
        warn: write,
      },
      log: { debug: write, info: write, notice: write, warning: write },
      progress: () => ({ ...noProgress, [Symbol.dispose]() {} }),
    },
  );
}

/** A folder of files for a release, removed with its scope. */
export class Files implements AsyncDisposable {
  readonly folder: string;
  readonly paths: string[] = [];

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(contents: Readonly<Record<string, string>> = {}): Promise<Files> {
    const files = new Files(await mkdtemp(join(tmpdir(), 'k4all-release-')));
    for (const [name, text] of Object.entries(contents)) await files.add(name, text);
    return files;
  }

  async add(name: string, text: string): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, text);
    if (!this.paths.includes(path)) this.paths.push(path);
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Name and digest of every asset of a release, as the server has them. */
export function assetsOf(server: GitHubServer, tag: string): Record<string, string> {
  const published = server.releases.filter((one) => one.tag === tag && !one.draft);
  if (published.length !== 1) throw new Error(`${published.length} published releases of ${tag}`);
  const entries = published[0]?.assets.map(({ name, state, digest }) => [name, `${state} ${digest}`]) ?? [];
  return Object.fromEntries(entries);
}
