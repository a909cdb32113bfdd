import { sha256 } from '../io/hash.ts';
import { HttpError } from '../io/http.ts';
import { noProgress, type Progress } from '../io/progress.ts';
import { bytesBlob, fileBlob } from './blob-source.ts';
import { compareDigest, type UploadResult, uploadBlob } from './blobs.ts';
import { type Image, MANIFEST_MEDIA_TYPE } from './image.ts';
import { DeniedError, errorDetail, type Registry } from './registry.ts';

/** The OCI distribution specification's advice for the size of a manifest. */
const MAX_MANIFEST = 4 * 1024 * 1024;

export interface PushOptions {
  readonly mountFrom?: readonly string[];
  readonly chunkSize?: number;
  readonly progress?: Progress;
  /** Told what happened to the layer, and of each tag. */
  readonly onStep?: (message: string) => void;
}

/**
 * Stores an image under all its tags. First what the manifest names, then the manifest under its digest, and only then
 * the tags, `latest` as the last: no tag ever points to something that isn't there.
 */
export async function pushImage(
  registry: Registry,
  image: Image,
  tags: readonly string[],
  options: PushOptions = {},
): Promise<void> {
  const { onStep = () => {} } = options;
  const { layer, config, manifest } = image;
  const stored = await uploadBlob(registry, fileBlob(layer.descriptor, layer.path), options);
  onStep(`layer ${layer.descriptor.digest}: ${STORED[stored]}`);
  await uploadBlob(registry, bytesBlob(config.descriptor, config.bytes), { ...options, progress: noProgress });
  await putManifest(registry, image, manifest.descriptor.digest);
  for (const tag of inOrder(tags)) {
    await putManifest(registry, image, tag);
    onStep(`${registry.host}/${registry.repository}:${tag} is ${manifest.descriptor.digest}`);
  }
}

const STORED: Readonly<Record<UploadResult, string>> = {
  uploaded: 'uploaded',
  mounted: 'mounted from another repository',
  present: 'there already, nothing transferred',
};

/** Tags that move come after those that don't. */
function inOrder(tags: readonly string[]): string[] {
  return [...tags.filter((tag) => tag !== 'latest'), ...tags.filter((tag) => tag === 'latest')];
}

async function putManifest(registry: Registry, { manifest }: Image, reference: string): Promise<void> {
  const { digest, mediaType, size } = manifest.descriptor;
  const request = {
    method: 'PUT',
    url: registry.url(`manifests/${reference}`),
    headers: { 'content-type': mediaType, 'content-length': String(size) },
    body: () => manifest.bytes,
  } as const;
  const response = await registry.send(request).catch((error: unknown) => {
    if (!(error instanceof HttpError)) throw error;
    throw new Error(`${registry.host} refuses the manifest as ${reference} (${error.status} ${errorDetail(error)})`, {
      cause: error,
    });
  });
  await response.body.dump();
  compareDigest(registry, response, digest);
}

/**
 * Fetches the manifest and compares it with ours byte for byte; meant for a registry without credentials, to see what
 * everybody sees.
 *
 * @returns the error where it couldn't be found out
 * @throws Error where the registry gives something else
 */
export async function verifyPushed(registry: Registry, { manifest }: Image): Promise<'public' | 'private' | Error> {
  const { digest } = manifest.descriptor;
  const url = registry.url(`manifests/${digest}`);
  try {
    const response = await registry.send({ method: 'GET', url, headers: { accept: MANIFEST_MEDIA_TYPE } });
    const bytes = await registry.read(response, MAX_MANIFEST);
    if (`sha256:${sha256(bytes)}` === digest) return 'public';
  } catch (error) {
    registry.retry.signal?.throwIfAborted();
    if (error instanceof DeniedError || (error instanceof HttpError && error.status === 404)) return 'private';
    return error instanceof Error ? error : new Error(String(error));
  }
  throw new Error(`${registry.host} gives another manifest than the one that was pushed as ${digest}`);
}
