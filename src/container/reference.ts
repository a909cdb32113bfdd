import { quote, UsageError } from '../io/errors.ts';

/** Where an image goes to, or comes from. */
export type Target =
  | { readonly kind: 'registry'; readonly host: string; readonly repository: string }
  | { readonly kind: 'oci' | 'oci-archive'; readonly path: string };

const HOST = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;
/** Source of the grammar: https://github.com/opencontainers/distribution-spec, "Pulling manifests". */
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
const MAX_REPOSITORY = 255;

/**
 * Reads an image name without a tag: `ghcr.io/owner/name` (upper case is lowered), `oci:DIR` or `oci-archive:FILE`.
 *
 * @param input what the user gave it as
 * @throws UsageError naming the input, the value and the allowed form
 */
export function parseImage(text: string, input = 'image'): Target {
  const local = parseLocal(text, input);
  if (local) return local;
  const name = text.trim().toLowerCase();
  const slash = name.indexOf('/');
  const host = name.slice(0, Math.max(0, slash));
  const repository = name.slice(slash + 1);
  if (name.includes('@') || repository.includes(':')) {
    throw new UsageError(`"${input}" is ${quote(text)}, but takes the name alone: give tags by "tags"`);
  }
  if (!isRegistry(host) || !REPOSITORY.test(repository) || repository.length > MAX_REPOSITORY) {
    throw new UsageError(
      `"${input}" is ${quote(text)}, but takes REGISTRY/NAME as in ghcr.io/owner/name, oci:DIR or oci-archive:FILE`,
    );
  }
  return { kind: 'registry', host: canonicalHost(host), repository };
}

function parseLocal(text: string, input: string): Target | undefined {
  const [, kind, path = ''] = /^(oci|oci-archive):(.*)$/s.exec(text.trim()) ?? [];
  if (kind === undefined) return undefined;
  if (path === '') throw new UsageError(`"${input}" is ${quote(text)}, but ${kind}: takes a path`);
  return { kind: kind as 'oci' | 'oci-archive', path };
}

/** A registry has a dot or a port in its name, or is `localhost`, as everywhere in the container world. */
function isRegistry(host: string): boolean {
  const port = Number(/:(\d+)$/.exec(host)?.[1] ?? 1);
  return HOST.test(host) && port > 0 && port < 65_536 && (/[.:]/.test(host) || host === 'localhost');
}

const DOCKER_HUB = 'registry-1.docker.io';

/** Docker Hub is known by other names than the one that answers. */
function canonicalHost(host: string): string {
  return host === 'docker.io' || host === 'index.docker.io' ? DOCKER_HUB : host;
}

/** An image name as people write it. */
export function formatTarget(target: Target): string {
  if (target.kind !== 'registry') return `${target.kind}:${target.path}`;
  return `${target.host === DOCKER_HUB ? 'docker.io' : target.host}/${target.repository}`;
}

/** A place to get an image from. */
export interface Reference {
  readonly target: Target;
  /** A tag or a digest; undefined for the only image of a layout. */
  readonly tag: string | undefined;
}

/**
 * Reads what `--extract` takes: `REGISTRY/NAME[:TAG][@sha256:…]`, `oci:DIR[:TAG]` or `oci-archive:FILE[:TAG]`. A
 * registry's default tag is `latest`.
 *
 * @throws UsageError
 */
export function parseReference(text: string): Reference {
  const [, localName, localTag] = /^(oci(?:-archive)?:.+?)(?::([A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?$/s.exec(text) ?? [];
  if (localName) return { target: parseImage(localName, 'extract'), tag: localTag };
  const [name = '', digest] = text.trim().split('@');
  if (digest !== undefined && !DIGEST.test(digest)) {
    throw new UsageError(`"extract" names ${quote(text)}, which has no sha256 digest behind "@"`);
  }
  const colon = name.indexOf(':', name.indexOf('/'));
  const tag = colon < 0 ? 'latest' : name.slice(colon + 1);
  if (!TAG.test(tag)) throw new UsageError(`"extract" names ${quote(text)}, but ${quote(tag)} is not a tag`);
  return { target: parseImage(colon < 0 ? name : name.slice(0, colon), 'extract'), tag: digest ?? tag };
}

/**
 * Checks tags and removes repetitions.
 *
 * @throws UsageError naming the first one that no registry would take
 */
export function checkTags(tags: readonly string[]): string[] {
  for (const tag of tags) {
    if (!TAG.test(tag)) {
      throw new UsageError(
        `"tags" holds ${quote(tag)}, but a tag has letters, digits, "_", "." and "-" only, at most 128, and no name before it`,
      );
    }
  }
  return [...new Set(tags)];
}

/**
 * Reads the folder in the image.
 *
 * @throws UsageError unless it is absolute and stays where it says
 */
export function parsePrefix(text: string): string {
  const parts = text
    .trim()
    .split('/')
    .filter((part) => part !== '' && part !== '.');
  if (!text.trim().startsWith('/') || parts.includes('..') || /[\\\0]/.test(text)) {
    throw new UsageError(`"prefix" is ${quote(text)}, but takes an absolute folder in the image, as in /src`);
  }
  return `/${parts.join('/')}`;
}
