import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { glob } from 'tinyglobby';
import type { Host } from '../host/host.ts';
import { quote, UsageError } from '../io/errors.ts';
import { pathInside, portableGlob } from '../io/paths.ts';
import { formatSize } from '../io/sizes.ts';
import { coreosReleasesNear, publishRelease, type ReleaseContext, type ReleaseResult } from '../release/index.ts';
import { defineCommand } from './command.ts';

const DEFAULT_API = 'https://api.github.com';

export const command = defineCommand({
  name: 'create-release',
  summary: 'Make a GitHub release that is whole or not there',
  description:
    'Creates a draft, uploads and verifies every asset, adds `SHA256SUMS`, and publishes last. In one job, or in three phases with uploads from many jobs. Run again after any failure it goes on where it stopped; a published release is never changed.',
  inputs: {
    phase: {
      type: 'choice',
      choices: ['all', 'prepare', 'upload', 'publish'],
      default: 'all',
      description: 'Which part to do; `prepare` gives the `release-id` for the others.',
    },
    'release-id': {
      type: 'integer',
      minimum: 1,
      defaultText: "the tag's one release or draft",
      description: 'The release that the phase `prepare` made.',
    },
    tag: {
      type: 'string',
      defaultText: 'the tag that triggered the run',
      description: 'The tag that the release is for.',
    },
    target: {
      type: 'string',
      defaultText: "the event's commit",
      description: "Commit or branch that the tag is made at when the release is published, if it doesn't exist yet.",
    },
    name: { type: 'string', defaultText: 'the tag', description: 'Title of the release.' },
    body: { type: 'string', description: 'Notes in Markdown; files, digests and instructions are put below them.' },
    files: { type: 'list', description: 'Files to upload: paths or globs.' },
    prerelease: {
      type: 'boolean',
      defaultText: 'whether the tag has a prerelease part, as `v1.0.0-rc.1`',
      description: 'Mark as a prerelease.',
    },
    draft: { type: 'boolean', default: false, description: "Upload and verify everything, but don't publish." },
    'make-latest': {
      type: 'boolean',
      defaultText: 'whether the tag is the highest stable version of all releases',
      description: "Whether this becomes the repository's latest release.",
    },
    'generate-notes': {
      type: 'boolean',
      default: false,
      description: 'Put the notes that GitHub generates below `body`.',
    },
    oversize: {
      type: 'choice',
      choices: ['fail', 'split', 'skip'],
      default: 'fail',
      description: 'What to do with files of 2 GiB or more, which GitHub does not take.',
    },
    'expected-assets': {
      type: 'list',
      description: 'Asset names, as GitHub shows them, that must all be there before the release is published.',
    },
    repository: { type: 'string', defaultText: 'the repository of the run', description: 'As `owner/name`.' },
    token: {
      type: 'secret',
      defaultText: "the job's token; `GITHUB_TOKEN` on the command line",
      // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of GitHub Actions
      actionDefault: '${{ github.token }}',
      description: 'A token that may write the contents of the repository.',
    },
  },
  outputs: {
    'release-id': { type: 'number', description: 'Id of the release, for the other phases.' },
    url: { type: 'string', description: 'Page of the release.' },
    tag: { type: 'string', description: 'Tag of the release.' },
    assets: {
      type: 'json',
      description:
        'List of `name`, `path` (the local file), `size`, `sha256`, `url` of the assets that this phase dealt with.',
    },
  },
  permissions: { 'contents: write': 'to create the release, upload its assets, and make the tag' },
  branding: { icon: 'package', color: 'blue' },
  async run(inputs, host) {
    const context = releaseContext(inputs, host);
    const uploads = inputs.phase === 'all' || inputs.phase === 'upload';
    if (inputs.phase === 'upload' && inputs.files.length === 0) {
      throw new UsageError('"files" is empty: the phase upload takes the files to upload');
    }
    const files = await findFiles(inputs.files, host.cwd, uploads);
    const result = await publishRelease(
      {
        phase: inputs.phase,
        releaseId: inputs['release-id'],
        tag: inputs.tag?.trim() ?? (inputs['release-id'] === undefined ? eventTag(host) : undefined),
        target: inputs.target?.trim() ?? (host.env.GITHUB_SHA || undefined),
        name: inputs.name,
        body: inputs.body,
        files,
        prerelease: inputs.prerelease,
        draft: inputs.draft,
        makeLatest: inputs['make-latest'],
        generateNotes: inputs['generate-notes'],
        oversize: inputs.oversize,
        expectedAssets: inputs['expected-assets'],
        coreosReleases: await coreosReleasesNear(files),
      },
      context,
    );
    await host.summary(summaryOf(result));
    return {
      'release-id': result.releaseId,
      url: result.url,
      tag: result.tag,
      assets: result.assets.map((asset) => ({ ...asset, path: shownPath(asset.path, host.cwd) })),
    };
  },
});

/** Where releases are made, from the inputs and the usual variables; the token is masked from here on. */
function releaseContext(
  inputs: { readonly token?: string | undefined; readonly repository?: string | undefined },
  host: Host,
): ReleaseContext {
  const token = (inputs.token ?? host.env.GITHUB_TOKEN ?? '').trim();
  const repository = (inputs.repository ?? host.env.GITHUB_REPOSITORY ?? '').trim();
  if (token !== '') host.secret(token);
  if (repository === '')
    throw new UsageError('"repository" is not set, and neither is GITHUB_REPOSITORY: give OWNER/NAME');
  if (token === '') {
    throw new UsageError('"token" is not set, and neither is GITHUB_TOKEN: give a token with `contents: write`');
  }
  return {
    github: {
      apiUrl: host.env.GITHUB_API_URL || DEFAULT_API,
      repository,
      token,
      signal: host.signal,
      debug: host.debug,
      warn: host.warning,
    },
    log: host,
    progress: (label) => host.progress(label),
  };
}

function eventTag({ env }: Host): string | undefined {
  return /^refs\/tags\/(.+)$/.exec(env.GITHUB_REF ?? '')?.[1];
}

/**
 * Files that paths and globs name, sorted. A path that exists is itself, whatever its characters mean in a glob.
 *
 * @throws Error that lists what matches nothing, if `required`
 */
async function findFiles(patterns: readonly string[], cwd: string, required: boolean): Promise<string[]> {
  const found = new Set<string>();
  const unmatched: string[] = [];
  const excluded = patterns.filter((pattern) => pattern.startsWith('!')).map((pattern) => pattern.slice(1));
  for (const pattern of patterns.filter((pattern) => !pattern.startsWith('!'))) {
    const path = resolve(cwd, pattern);
    const literal = await stat(path).catch(() => undefined);
    const matches = literal?.isFile() ? [path] : await expand(pattern, cwd, excluded);
    if (matches.length === 0) unmatched.push(literal?.isDirectory() ? `${quote(pattern)} is a folder` : quote(pattern));
    for (const match of matches) found.add(match);
  }
  if (required && unmatched.length > 0) throw new Error(`"files" matches no file: ${unmatched.join(', ')}`);
  return [...found].sort();
}

async function expand(pattern: string, cwd: string, excluded: readonly string[]): Promise<string[]> {
  const options = { cwd, absolute: true, onlyFiles: true, dot: true, expandDirectories: false };
  const matches = await glob([portableGlob(pattern)], { ...options, ignore: excluded.map((one) => portableGlob(one)) });
  return matches.map((match) => resolve(match));
}

/** Relative to the current folder where it is inside; an asset's bare name stays as it is. */
function shownPath(path: string, cwd: string): string {
  return pathInside(cwd, path) ?? path;
}

function summaryOf({ tag, url, published, assets }: ReleaseResult): string {
  const rows = assets.map(({ name, size, sha256 }) => `| \`${name}\` | ${formatSize(size)} | \`${sha256}\` |`);
  const table = rows.length > 0 ? `\n\n| asset | size | SHA-256 |\n| --- | --- | --- |\n${rows.join('\n')}` : '';
  return `### Release [${tag.replaceAll(/[[\]]/g, '\\$&')}](${url})${published ? '' : ' (draft)'}${table}\n`;
}
