import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  buildImage,
  checkTags,
  DeniedError,
  deniedAdvice,
  detectLicense,
  extractSources,
  findCredentials,
  formatTarget,
  githubRepository,
  type Image,
  type ImageSource,
  layoutSource,
  originUrl,
  parseImage,
  parseKeyValues,
  parsePrefix,
  parseReference,
  placeInCheckout,
  privateAdvice,
  pushImage,
  Registry,
  type RegistryOptions,
  readFolderTree,
  readGitTree,
  registrySource,
  type SourceTree,
  standardAnnotations,
  type Target,
  unpackArchive,
  verifyPushed,
  writeArchive,
  writeLayer,
  writeLayout,
} from '../container/index.ts';
import type { Host } from '../host/host.ts';
import { messageOf, UsageError } from '../io/errors.ts';
import { formatSize } from '../io/sizes.ts';
import { defineCommand, type InputValues } from './command.ts';

const inputs = {
  context: {
    type: 'path',
    default: '.',
    description: 'A folder of a git checkout, or any other folder; the files that git tracks there go into the image.',
  },
  image: {
    type: 'string',
    defaultText: '`ghcr.io/OWNER/NAME` of the repository, lowered',
    description: 'Where the image goes, without a tag: `REGISTRY/NAME`, `oci:DIR` or `oci-archive:FILE`.',
  },
  tags: {
    type: 'list',
    defaultText: 'the `container-tags` of classify-version; `dev` without a git ref',
    description: 'Tags that all point to the image.',
  },
  prefix: { type: 'string', default: '/src', description: 'The folder in the image that holds the sources.' },
  labels: { type: 'lines', description: 'Labels for the image, one `key=value` per line.' },
  annotations: {
    type: 'lines',
    description: 'Annotations for the manifest, one `key=value` per line; they go before the standard ones.',
  },
  username: { type: 'string', defaultText: '`GITHUB_ACTOR`', description: "The token's user name." },
  token: {
    type: 'secret',
    defaultText: '`GITHUB_TOKEN` for ghcr.io, else the auth files of Podman and Docker',
    description: 'Password or token for the registry.',
  },
  insecure: {
    type: 'boolean',
    default: false,
    description: 'Allow plain http and certificates that can not be verified.',
  },
  compression: {
    type: 'choice',
    choices: ['gzip', 'zstd'],
    default: 'gzip',
    cliOnly: true,
    description: 'How the layer is compressed; zstd is smaller, and unknown to Docker before 20.10.',
  },
  extract: {
    type: 'tuple',
    placeholders: ['REF', 'DIR'],
    cliOnly: true,
    description: 'Instead of building, get the sources of an image back into a new folder.',
  },
} as const;

export const command = defineCommand({
  name: 'source-container',
  summary: 'Put the tracked sources into a container image and push it, without Docker',
  description:
    'Builds what `FROM scratch` and `COPY . /src` would, of exactly the files that git tracks at the commit, so that neither `.git` nor an untracked file gets out. The same commit gives the same digest everywhere.',
  inputs,
  outputs: {
    digest: { type: 'string', description: "Digest of the image's manifest, `sha256:…`." },
    image: { type: 'string', description: 'The name of the image, without a tag.' },
    tags: { type: 'list', description: 'The tags that point to it.' },
  },
  permissions: {
    'contents: read': 'to check the repository out',
    'packages: write': 'to push to ghcr.io',
  },
  branding: { icon: 'package', color: 'blue' },
  async run(values, host) {
    if (values.token) host.secret(values.token);
    await using work = await temporaryFolder();
    return await (values.extract ? extractImage(values, host, work.path) : publish(values, host, work.path));
  },
});

type Values = InputValues<typeof inputs>;
type Result = { digest: string; image: string; tags: readonly string[] };

async function temporaryFolder(): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'k4all-container-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function publish(values: Values, host: Host, work: string): Promise<Result> {
  const prefix = parsePrefix(values.prefix);
  const labels = parseKeyValues('labels', values.labels);
  const annotations = parseKeyValues('annotations', values.annotations);
  const given = { image: values.image && parseImage(values.image), tags: checkTags(values.tags) };
  const context = resolve(host.cwd, values.context);
  await assertFolder(context, values.context);
  const place = await placeInCheckout(context);
  const origin = place === undefined ? undefined : await originUrl(context);
  const repository = host.env.GITHUB_REPOSITORY || githubRepository(origin);
  const target = given.image || defaultTarget(repository);
  const tags = given.tags.length > 0 ? given.tags : await defaultTags(host, context);

  const image = await host.group('Build the image', async () => {
    const tree = await readTree(context, place, host);
    const license = await detectLicense(tree, host.signal);
    const standard = standardAnnotations(tree, { env: host.env, origin, tags, license });
    using progress = host.progress('sources');
    const layer = await writeLayer(tree, prefix, join(work, 'layer'), {
      compression: values.compression,
      progress,
      signal: host.signal,
    });
    const files = tree.entries.filter(({ kind }) => kind !== 'directory').length;
    host.info(`${files} ${files === 1 ? 'file' : 'files'}, ${formatSize(layer.descriptor.size)} compressed`);
    return buildImage(layer, {
      time: tree.time,
      prefix,
      labels: { ...standard, ...labels },
      annotations: { ...standard, ...annotations },
    });
  });
  const { digest } = image.manifest.descriptor;
  await host.group(`Store ${formatTarget(target)}`, () => store(image, target, { ...values, tags, repository }, host));
  const result = { digest, image: formatTarget(target), tags };
  await host.summary(
    `### Source container\n\n\`${result.image}@${digest}\`\n\nTags: ${tags.map((t) => `\`${t}\``).join(', ')}\n`,
  );
  return result;
}

async function assertFolder(path: string, given: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isDirectory()) throw new Error(`"context" is "${given}", which is not a folder`);
}

function defaultTarget(repository: string | undefined): Target {
  if (repository) return parseImage(`ghcr.io/${repository}`);
  throw new UsageError(
    '"image" is not set, and there is neither GITHUB_REPOSITORY nor a remote on github.com to name it after: give REGISTRY/NAME, oci:DIR or oci-archive:FILE',
  );
}

async function defaultTags(host: Host, context: string): Promise<readonly string[]> {
  const { checkedOutRef, classify } = await import('../release/index.ts');
  const ref = host.env.GITHUB_REF || (await checkedOutRef(context));
  if (!ref) return ['dev'];
  const options = { cwd: context, commit: host.env.GITHUB_SHA, warn: host.warning, signal: host.signal };
  const { containerTags } = await classify(ref, options).catch((cause: unknown) => {
    throw new Error(`"tags" is not set, and the git ref gives none: ${messageOf(cause)}`, { cause });
  });
  return containerTags;
}

async function readTree(context: string, place: string | undefined, host: Host): Promise<SourceTree> {
  if (place === undefined) {
    host.info(`${context} is not in a git checkout: everything that .containerignore or .dockerignore leaves is taken`);
    return readFolderTree(context, Number(host.env.SOURCE_DATE_EPOCH || 0));
  }
  const tree = await readGitTree(context, place, host.signal);
  for (const { severity, message } of tree.remarks) host[severity](message);
  return tree;
}

interface StoreOptions extends RegistryValues {
  readonly tags: readonly string[];
  /** The GitHub repository, `owner/name`. */
  readonly repository: string | undefined;
}

async function store(image: Image, target: Target, options: StoreOptions, host: Host): Promise<void> {
  const { tags } = options;
  if (target.kind === 'registry') return push(image, target, options, host);
  const path = resolve(host.cwd, target.path);
  return target.kind === 'oci' ? writeLayout(path, image, tags) : writeArchive(path, image, tags);
}

type RegistryValues = Pick<Values, 'token' | 'username' | 'insecure'>;
type RegistryTarget = Extract<Target, { kind: 'registry' }>;

async function push(
  image: Image,
  target: RegistryTarget,
  { tags, repository, ...values }: StoreOptions,
  host: Host,
): Promise<void> {
  const options = { ...(await registryOptions(target, values, host)), actions: 'pull,push' } as const;
  const advice = { ...target, credentials: options.credentials, ownerType: await ownerType(host) };
  const registry = await Registry.connect(options);
  try {
    using progress = host.progress('upload', image.layer.descriptor.size);
    // The image without an `image` of its own, which another step or run may have pushed.
    const own = repository?.toLowerCase();
    const mountFrom = own === undefined || own === target.repository ? [] : [own];
    await pushImage(registry, image, tags, { mountFrom, progress, onStep: host.info });
  } catch (error) {
    if (!(error instanceof DeniedError)) throw error;
    throw new Error(`${error.message}. ${deniedAdvice(advice)}`, { cause: error });
  }
  const visibility = await verifyPushed(registry.forEverybody(), image);
  if (visibility === 'public') host.info('everybody can read the image');
  else if (visibility === 'private') host.notice(privateAdvice(advice));
  else host.warning(`whether everybody can read the image could not be found out: ${visibility.message}`);
}

async function registryOptions(
  target: RegistryTarget,
  values: RegistryValues,
  host: Host,
): Promise<Omit<RegistryOptions, 'actions'>> {
  const credentials = await findCredentials(target.host, target.repository, {
    token: values.token,
    username: values.username,
    env: host.env,
  });
  for (const secret of [credentials?.password, credentials?.identityToken]) if (secret) host.secret(secret);
  return {
    host: target.host,
    repository: target.repository,
    credentials,
    insecure: values.insecure,
    onSecret: host.secret,
    retry: {
      signal: host.signal,
      onRetry: ({ message }, _attempt, wait) => host.info(`${message}; trying again in ${(wait / 1000).toFixed(1)} s`),
    },
  };
}

/** The kind of account that owns the repository, from the event that started the run. */
async function ownerType(host: Host): Promise<string | undefined> {
  if (!host.env.GITHUB_EVENT_PATH) return undefined;
  try {
    return JSON.parse(await readFile(host.env.GITHUB_EVENT_PATH, 'utf8')).repository?.owner?.type;
  } catch {
    // Only a link becomes less exact.
    return undefined;
  }
}

async function extractImage(values: Values, host: Host, work: string): Promise<Result> {
  const [ref = '', folder = ''] = values.extract ?? [];
  const { target, tag } = parseReference(ref);
  const prefix = parsePrefix(values.prefix);
  using progress = host.progress('download');
  const source = await imageSource(target, { ...values, progress }, host, work);
  const digest = await extractSources(resolve(host.cwd, folder), { source, tag, prefix, signal: host.signal });
  host.info(`${ref} is in ${folder}`);
  return { digest, image: formatTarget(target), tags: tag === undefined || tag.includes(':') ? [] : [tag] };
}

async function imageSource(
  target: Target,
  values: Values & { progress: ReturnType<Host['progress']> },
  host: Host,
  work: string,
): Promise<ImageSource> {
  if (target.kind === 'registry') {
    const options = await registryOptions(target, values, host);
    return registrySource(await Registry.connect({ ...options, actions: 'pull' }), values.progress);
  }
  const path = resolve(host.cwd, target.path);
  if (target.kind === 'oci') return layoutSource(path);
  const unpacked = join(work, 'archive');
  await unpackArchive(path, unpacked);
  return layoutSource(unpacked, path);
}
