import { sha256 } from '../io/hash.ts';
import type { Descriptor, Layer } from './layer.ts';

export const MANIFEST_MEDIA_TYPE = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX_MEDIA_TYPE = 'application/vnd.oci.image.index.v1+json';
export const CONFIG_MEDIA_TYPE = 'application/vnd.oci.image.config.v1+json';

/** A small blob of an image with its exact bytes. */
export interface Document {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** Everything that has to be stored for an image, in the order in which it may be. */
export interface Image {
  readonly layer: Layer;
  readonly config: Document;
  readonly manifest: Document;
}

export interface ImageOptions {
  /** Seconds since 1970. */
  readonly time: number;
  /** The folder of the sources; becomes the working directory, which is how `--extract` finds it again. */
  readonly prefix: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * The image of one layer: config and manifest as the OCI image specification has them
 * (https://github.com/opencontainers/image-spec). The platform is always linux/amd64, so that one commit has one
 * digest; nothing in the image runs.
 */
export function buildImage(layer: Layer, { time, prefix, labels, annotations }: ImageOptions): Image {
  const created = timestamp(time);
  const config = document(CONFIG_MEDIA_TYPE, {
    created,
    architecture: 'amd64',
    os: 'linux',
    // Never run: there is no such file. Without a command `docker create` refuses an image.
    config: { Cmd: ['/true'], WorkingDir: prefix, ...(Object.keys(labels).length > 0 && { Labels: sorted(labels) }) },
    rootfs: { type: 'layers', diff_ids: [layer.diffId] },
    history: [{ created, created_by: 'k4all source-container' }],
  });
  const manifest = document(MANIFEST_MEDIA_TYPE, {
    schemaVersion: 2,
    mediaType: MANIFEST_MEDIA_TYPE,
    config: config.descriptor,
    layers: [layer.descriptor],
    ...(Object.keys(annotations).length > 0 && { annotations: sorted(annotations) }),
  });
  return { layer, config, manifest };
}

/** RFC 3339 in UTC, in whole seconds. */
export function timestamp(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}

function document(mediaType: string, value: unknown): Document {
  const bytes = Buffer.from(JSON.stringify(value));
  return { descriptor: { mediaType, digest: `sha256:${sha256(bytes)}`, size: bytes.length }, bytes };
}

/** By code unit, not by a locale. */
function sorted(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}
