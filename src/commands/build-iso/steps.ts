import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Architecture, BUILD_INFO, type CoreosSource, type ImageRecord } from '../../build/index.ts';
import type { Host } from '../../host/host.ts';
import { UsageError } from '../../io/errors.ts';
import { type Classification, classify, parseVersion, prereleaseOf } from '../../release/index.ts';

/** What a build is released as. Without a classification nobody asked git. */
export interface BuildVersion {
  readonly version: string;
  readonly prerelease: boolean;
  readonly classification?: Classification;
}

/** The version that was asked for, else the one that the git ref stands for, else `dev`. */
export async function versionOf(given: string | undefined, workspace: string, host: Host): Promise<BuildVersion> {
  if (given !== undefined) return { version: given, prerelease: prereleaseOf(given) };
  const ref = host.env.GITHUB_REF;
  if (!ref) return { version: 'dev', prerelease: false };
  const { env, signal, warning } = host;
  const classification = await classify(ref, { cwd: workspace, commit: env.GITHUB_SHA, warn: warning, signal });
  return { version: classification.version, prerelease: classification.prerelease, classification };
}

/** Fetches the live ISO that a definition names, verified, into the cache folder of the user or the runner. */
export async function fetchBase(architecture: Architecture, coreos: CoreosSource, host: Host): Promise<string> {
  const { command } = await import('../fetch-coreos.ts');
  const outputs = await command.run(
    {
      stream: coreos.stream,
      architecture,
      platform: 'metal',
      format: 'iso',
      release: coreos.release,
      sha256: undefined,
      'output-dir': cacheFolder(host),
      decompress: false,
      'verify-signature': true,
      keyring: coreos.keyring,
      cache: true,
      'stream-url': coreos.streamUrl,
      list: false,
    },
    host,
  );
  return String(outputs.path);
}

function cacheFolder({ env }: Host): string {
  const folder = env.RUNNER_TEMP || env.XDG_CACHE_HOME || env.LOCALAPPDATA || join(homedir(), '.cache');
  return join(folder, 'k4all');
}

/**
 * Boots every image: ISOs as CD-ROM, the others as disk.
 *
 * @throws Error for the first image that doesn't boot; its console log stays in the folder that the message names
 */
export async function bootImages(images: readonly ImageRecord[], outputDir: string, host: Host): Promise<void> {
  const { command } = await import('../boot-test.ts');
  const logs = await mkdtemp(join(host.env.RUNNER_TEMP || tmpdir(), 'k4all-boot-'));
  for (const { path, format, architecture } of images) {
    if (architecture !== 'x86_64') {
      host.warning(`${path} is not booted: boot-test runs machines of the architecture x86_64 only`);
      continue;
    }
    const inputs = {
      image: join(outputDir, path),
      attach: format === 'iso' ? 'cdrom' : 'disk',
      firmware: 'bios',
      expect: undefined,
      'fail-on': [],
      timeout: 300,
      memory: 2048,
      accelerator: 'auto',
      // The formats of an image have the same stem, and so the same log name.
      'output-dir': join(logs, format),
    } as const;
    await host.group(`Boot ${path}`, () => command.run(inputs, host));
  }
  await rm(logs, { recursive: true });
}

/**
 * Fails early where a release can't be made of a build.
 *
 * @throws UsageError
 */
export function assertReleasable({ version, classification }: BuildVersion, host: Host): void {
  if (!classification && !parseVersion(version)) {
    throw new UsageError(
      `"release" needs a version, but there is "${version}": push a tag such as v1.2.3, or give "version" as 1.2.3 or 1.2.3-beta.1`,
    );
  }
  for (const [name, what] of [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of GitHub Actions
    ['GITHUB_TOKEN', 'a token with `contents: write`; in a step add env: GITHUB_TOKEN: ${{ github.token }}'],
    ['GITHUB_REPOSITORY', 'OWNER/NAME'],
  ] as const) {
    if (!host.env[name]) throw new UsageError(`"release" needs the environment variable ${name}: ${what}`);
  }
}

/** Publishes images, and the record of what went into them, as a release; a branch build stays a draft. */
export async function publishBuild(
  { version, prerelease, classification }: BuildVersion,
  images: readonly ImageRecord[],
  outputDir: string,
  host: Host,
): Promise<void> {
  const { command } = await import('../create-release.ts');
  const files = [...images.map(({ path }) => path), BUILD_INFO].map((name) => resolve(outputDir, name));
  const { url } = await command.run(
    {
      phase: 'all',
      'release-id': undefined,
      tag: version,
      target: undefined,
      name: classification?.releaseName,
      body: undefined,
      files,
      prerelease,
      draft: classification?.draft ?? false,
      'make-latest': classification?.makeLatest,
      'generate-notes': true,
      oversize: 'fail',
      'expected-assets': [],
      repository: undefined,
      token: undefined,
    },
    host,
  );
  host.info(`release: ${url}`);
}
