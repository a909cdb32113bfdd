import { z } from 'zod';
import { messageOf, quote } from '../io/errors.ts';

/**
 * The metadata of a stream, as far as this project reads it; unknown fields survive. The format is that of
 * coreos/stream-metadata-go.
 */
const imageSchema = z.looseObject({
  location: z.string().min(1),
  signature: z.string().min(1).optional(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/i, 'must be 64 hex digits'),
  'uncompressed-sha256': z
    .string()
    .regex(/^[0-9a-f]{64}$/i, 'must be 64 hex digits')
    .optional(),
});

const PXE_PARTS = ['kernel', 'initramfs', 'rootfs'] as const;
const PARTS = ['disk', ...PXE_PARTS] as const;

const formatSchema = z.looseObject({
  disk: imageSchema.optional(),
  kernel: imageSchema.optional(),
  initramfs: imageSchema.optional(),
  rootfs: imageSchema.optional(),
});

const platformSchema = z.looseObject({ release: z.string().min(1), formats: z.record(z.string(), formatSchema) });

const streamSchema = z.looseObject({
  stream: z.string(),
  architectures: z.record(z.string(), z.looseObject({ artifacts: z.record(z.string(), platformSchema).optional() })),
});

export type Stream = z.infer<typeof streamSchema>;

/** What one image is in a stream: `disk` is a file of its own, the others make up the PXE triple. */
export type Part = (typeof PARTS)[number];

/** One file that a stream offers. Digests are lower-case hex; URLs are as the stream writes them. */
export interface Artifact {
  readonly part: Part;
  readonly release: string;
  readonly location: string;
  readonly signature?: string | undefined;
  readonly sha256: string;
  readonly uncompressedSha256?: string | undefined;
}

/** Which image is asked for. */
export interface ArtifactQuery {
  readonly architecture: string;
  readonly platform: string;
  readonly format: string;
  /** Pins: the release, and the digest of the file (compressed or not) or of any file of the PXE triple. */
  readonly release?: string | undefined;
  readonly sha256?: string | undefined;
}

/** What a stream has of one platform. */
export interface Offer {
  readonly architecture: string;
  readonly platform: string;
  readonly release: string;
  readonly formats: readonly string[];
}

/**
 * Reads a stream's JSON.
 *
 * @param origin where it comes from, for messages
 * @throws Error naming the origin and every field that is wrong
 */
export function parseStream(text: string, origin: string): Stream {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`${origin} is not JSON: ${messageOf(error)}`);
  }
  const result = streamSchema.safeParse(json);
  if (result.success) return result.data;
  const mistakes = result.error.issues.map(({ path, message }) => `${fieldName(path)}: ${message}`);
  throw new Error(`${origin} is not the metadata of a Fedora CoreOS stream: ${mistakes.slice(0, 5).join('; ')}`);
}

function fieldName(path: readonly PropertyKey[]): string {
  return path.length === 0 ? 'the whole' : quote(path.map(String).join('.'));
}

/**
 * Finds the files of an image: one, or the three of a PXE boot.
 *
 * @throws Error that lists what exists, or tells what the stream has instead of a pinned build
 */
export function resolveArtifact(stream: Stream, query: ArtifactQuery): Artifact[] {
  const where = `stream ${quote(stream.stream)}`;
  const architecture = lookup(stream.architectures, query.architecture, 'architecture', where);
  const platforms = architecture.artifacts ?? {};
  const platform = lookup(platforms, query.platform, 'platform', `${where} for ${query.architecture}`);
  const onPlatform = `${where} for ${query.architecture} on ${query.platform}`;
  const format = lookup(platform.formats, query.format, 'format', onPlatform);
  const artifacts = PARTS.flatMap((part) => {
    const image = format[part];
    if (!image) return [];
    const { location, signature, sha256 } = image;
    const uncompressedSha256 = image['uncompressed-sha256']?.toLowerCase();
    return [{ part, release: platform.release, location, signature, sha256: sha256.toLowerCase(), uncompressedSha256 }];
  });
  if (artifacts.length === 0) throw new Error(`${onPlatform} has no file for the format ${quote(query.format)}`);
  checkPins(artifacts, platform.release, query, onPlatform);
  return artifacts;
}

function lookup<T>(entries: Readonly<Record<string, T>>, name: string, kind: string, where: string): T {
  const found = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(entries).sort();
  throw new Error(
    `${where} has no ${kind} ${quote(name)}; "${kind}" can be ${names.length > 0 ? names.join(', ') : 'nothing here'}`,
  );
}

function checkPins(artifacts: readonly Artifact[], release: string, query: ArtifactQuery, where: string): void {
  if (query.release !== undefined && query.release !== release) {
    throw new Error(
      `"release" is ${quote(query.release)}, but ${where} has release ${release} now: update the pin, or give a copy of the metadata of that release as "stream-url"`,
    );
  }
  const pin = query.sha256?.toLowerCase();
  const digests = artifacts.flatMap((artifact) => [artifact.sha256, artifact.uncompressedSha256]);
  if (pin !== undefined && !digests.includes(pin)) {
    const now = artifacts.map((artifact) => artifact.sha256).join(', ');
    throw new Error(
      `"sha256" is ${quote(pin)}, but ${where} has release ${release} now, with SHA-256 ${now}: update the pin if that release is wanted`,
    );
  }
}

/** Everything a stream offers, by architecture and platform. */
export function listOffers(stream: Stream): Offer[] {
  return Object.entries(stream.architectures).flatMap(([architecture, { artifacts = {} }]) =>
    Object.entries(artifacts).map(([platform, { release, formats }]) => {
      return { architecture, platform, release, formats: Object.keys(formats) };
    }),
  );
}
