import { resolve } from 'node:path';
import {
  type Artifact,
  type FetchedArtifact,
  fetchArtifact,
  listOffers,
  loadStream,
  type Offer,
  resolveArtifact,
  type StreamSource,
} from '../coreos/index.ts';
import type { Host } from '../host/host.ts';
import { quote, UsageError } from '../io/errors.ts';
import { defineCommand, type InputValues, type OutputValues } from './command.ts';
import { runnerImageCache } from './image-cache.ts';
import { presentOutputs, renderTable } from './outputs.ts';

const inputs = {
  stream: { type: 'string', default: 'stable', description: 'Fedora CoreOS stream: `stable`, `testing` or `next`.' },
  architecture: {
    type: 'string',
    default: 'x86_64',
    description: 'Architecture, as the stream names it: `x86_64`, `aarch64`, `ppc64le` or `s390x`.',
  },
  platform: { type: 'string', default: 'metal', description: 'Platform, such as `metal`, `qemu` or `vmware`.' },
  format: {
    type: 'string',
    default: 'iso',
    description:
      'Format of the image on that platform, such as `iso`, `raw.xz` or `pxe` (kernel, initramfs and rootfs).',
  },
  release: { type: 'string', description: 'Fail unless the stream has this release now.' },
  sha256: { type: 'string', description: 'Fail unless the stream gives the image this SHA-256.' },
  'output-dir': {
    type: 'path',
    default: '.',
    description: 'Where the image goes, under the name that it is published with.',
  },
  decompress: {
    type: 'boolean',
    default: false,
    description: 'Decompress `.xz` and `.gz` on the way, and check the result against its own SHA-256.',
  },
  'verify-signature': {
    type: 'boolean',
    default: true,
    description: 'Verify the OpenPGP signature. Without it only the SHA-256 of the stream is checked.',
  },
  keyring: { type: 'list', description: "Files with OpenPGP public keys, armored or binary, besides Fedora's own." },
  cache: { type: 'boolean', default: true, description: "Keep the image in the runner's cache, by its SHA-256." },
  'stream-url': {
    type: 'string',
    defaultText: "Fedora's",
    description: "URL (http, https or file) or path of the stream's JSON: a mirror or an internal copy.",
  },
  list: {
    type: 'boolean',
    default: false,
    cliOnly: true,
    description: 'Show what the stream offers, and fetch nothing.',
  },
} as const;

const outputs = {
  path: { type: 'keyed', description: 'Where the image is.' },
  release: { type: 'string', description: 'Fedora CoreOS release.' },
  sha256: { type: 'keyed', description: 'SHA-256 of the file.' },
  size: { type: 'keyed', description: 'Size of the file in bytes.' },
  url: { type: 'keyed', description: 'Where it was published.' },
  'signed-by': {
    type: 'keyed',
    description: 'Fingerprint and user id of the key that signed it; empty if no signature was verified.',
  },
  'cache-hit': { type: 'boolean', description: 'Whether no byte of the image came from the network.' },
} as const;

type Values = InputValues<typeof inputs>;
type Results = OutputValues<typeof outputs>;

export const command = defineCommand({
  name: 'fetch-coreos',
  summary: 'Fetch and verify a Fedora CoreOS image',
  description:
    'Chooses an image from the metadata of a Fedora CoreOS stream, downloads it, and gives it its name only when both its SHA-256 and its OpenPGP signature hold.',
  branding: { icon: 'download-cloud', color: 'blue' },
  inputs,
  outputs,
  async run(values, host) {
    checkUsage(values);
    const source = await loadStream(
      { stream: values.stream, url: values['stream-url'], cwd: host.cwd },
      { signal: host.signal, onRetry: host.info },
    );
    // The listing takes the place of the outputs: nothing was fetched.
    if (values.list) return listing(source) as unknown as Results;
    const artifacts = resolveArtifact(source.stream, values);
    const fetched = await fetchAll(artifacts, source, values, host);
    await host.summary(summaryOf(source, values, fetched));
    return resultsOf(fetched);
  },
  present: (values) =>
    'offers' in values ? offersTable(values.offers as Offer[]) : presentOutputs({ outputs }, values),
});

/** What a fetch needs to know of a command's inputs. */
export type FetchInputs = Pick<Values, 'output-dir' | 'decompress' | 'verify-signature' | 'keyring' | 'cache'>;

/** Fetches all files of an image, one after the other, with the host's progress and cache. */
export async function fetchAll(
  artifacts: readonly Artifact[],
  source: StreamSource,
  values: FetchInputs,
  host: Host,
): Promise<FetchedArtifact[]> {
  if (!values['verify-signature']) {
    host.warning(
      '"verify-signature" is off: nothing proves that the image comes from Fedora, only its SHA-256 is checked',
    );
  }
  const cache = values.cache ? await runnerImageCache(host) : undefined;
  const fetched: FetchedArtifact[] = [];
  for (const artifact of artifacts) {
    const result = await fetchArtifact(artifact, source, {
      outputDir: resolve(host.cwd, values['output-dir']),
      decompress: values.decompress,
      verifySignature: values['verify-signature'],
      keyring: values.keyring.map((file) => resolve(host.cwd, file)),
      cache,
      reporter: host,
      signal: host.signal,
      onRetry: host.info,
    });
    if (result.signedBy) host.info(`good signature by ${result.signedBy.userId}, key ${result.signedBy.fingerprint}`);
    fetched.push(result);
  }
  return fetched;
}

function checkUsage(values: Values): void {
  if (values.sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(values.sha256)) {
    throw new UsageError(`"sha256" is ${quote(values.sha256)}, but takes 64 hex digits`);
  }
}

function resultsOf(fetched: readonly FetchedArtifact[]): Results {
  const keyed = <T extends string | number>(value: (file: FetchedArtifact) => T) => {
    const [first] = fetched;
    if (first?.part === 'disk') return value(first);
    return Object.fromEntries(fetched.map((file) => [file.part, value(file)]));
  };
  return {
    path: keyed(({ path }) => path),
    release: fetched[0]?.release ?? '',
    sha256: keyed(({ sha256 }) => sha256),
    size: keyed(({ size }) => size),
    url: keyed(({ url }) => url),
    'signed-by': keyed(({ signedBy }) => (signedBy ? `${signedBy.fingerprint} ${signedBy.userId}` : '')),
    'cache-hit': fetched.every(({ cacheHit }) => cacheHit),
  };
}

function summaryOf({ stream }: StreamSource, values: Values, fetched: readonly FetchedArtifact[]): string {
  const rows = fetched.map(({ release, sha256, signedBy, url }) => {
    return `| ${url.split('/').at(-1)} | ${release} | \`${sha256}\` | ${signedBy?.userId ?? 'not verified'} |`;
  });
  return [
    `### Fedora CoreOS ${stream.stream} for ${values.architecture}\n`,
    '| file | release | SHA-256 | signed by |\n| --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function listing({ stream }: StreamSource): { stream: string; offers: Offer[] } {
  return { stream: stream.stream, offers: listOffers(stream) };
}

function offersTable(offers: readonly Offer[]): string {
  const rows = offers.map(({ architecture, platform, release, formats }) => [
    architecture,
    platform,
    release,
    formats.join(', '),
  ]);
  return renderTable([['ARCHITECTURE', 'PLATFORM', 'RELEASE', 'FORMATS'], ...rows]);
}
