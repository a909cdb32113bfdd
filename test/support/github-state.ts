/** A release as the stand-in keeps it; what GitHub shows is made from it. */
export interface StoredRelease {
  readonly id: number;
  tag: string;
  target: string;
  name: string | null;
  body: string;
  draft: boolean;
  prerelease: boolean;
  makeLatest: string;
  readonly assets: StoredAsset[];
}

export interface StoredAsset {
  readonly id: number;
  readonly name: string;
  readonly label: string;
  state: 'starter' | 'uploaded';
  size: number;
  digest: string | null;
}

/** An answer that refuses, as GitHub words it. */
export class Refused extends Error {
  readonly status: number;
  readonly codes: readonly object[];
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, codes: readonly object[] = [], headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.codes = codes;
    this.headers = headers;
  }
}

export const alreadyExists = (resource: string, field: string) =>
  new Refused(422, 'Validation Failed', [{ resource, code: 'already_exists', field }]);

/** How GitHub rewrites the name of an asset. */
export function shownName(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9._-]+/g, '.').replaceAll(/\.{2,}/g, '.');
  return (name.startsWith('.') ? `default${plain}` : plain).replaceAll(/^\.|\.$/g, '');
}

/** The releases of one repository, with GitHub's rules. */
export class ReleaseStore {
  readonly releases = new Map<number, StoredRelease>();
  readonly tags = new Set<string>();
  immutable = false;
  #nextId = 1000;

  create(fields: Record<string, unknown>): StoredRelease {
    const tag = String(fields.tag_name);
    if ([...this.releases.values()].some((release) => !release.draft && release.tag === tag)) {
      throw alreadyExists('Release', 'tag_name');
    }
    const release: StoredRelease = {
      id: this.#nextId++,
      tag,
      target: String(fields.target_commitish ?? 'main'),
      name: (fields.name as string | undefined) ?? null,
      body: String(fields.body ?? ''),
      draft: fields.draft === true,
      prerelease: fields.prerelease === true,
      makeLatest: String(fields.make_latest ?? 'true'),
      assets: [],
    };
    checkBody(release.body);
    this.releases.set(release.id, release);
    return release;
  }

  update(release: StoredRelease, fields: Record<string, unknown>): void {
    const publishing = release.draft && fields.draft === false;
    const tag = String(fields.tag_name ?? release.tag);
    checkBody(String(fields.body ?? ''));
    const prerelease = (fields.prerelease as boolean | undefined) ?? release.prerelease;
    if (publishing) {
      const taken = [...this.releases.values()].some((other) => other !== release && !other.draft && other.tag === tag);
      if (taken) throw alreadyExists('Release', 'tag_name');
      if (prerelease && fields.make_latest === 'true') throw new Refused(422, 'Latest release cannot be a prerelease');
      this.tags.add(tag);
    } else if (this.isFrozen(release)) throw new Refused(422, 'Cannot update an immutable release');
    release.tag = tag;
    release.target = String(fields.target_commitish ?? release.target);
    release.name = (fields.name as string | undefined) ?? release.name;
    release.body = String(fields.body ?? release.body);
    release.draft = (fields.draft as boolean | undefined) ?? release.draft;
    release.prerelease = prerelease;
    release.makeLatest = String(fields.make_latest ?? release.makeLatest);
  }

  /** The name is taken from here on, whole or not. */
  beginAsset(release: StoredRelease, name: string, label: string): StoredAsset {
    if (this.isFrozen(release)) throw new Refused(422, 'Cannot upload assets to an immutable release.');
    const shown = shownName(name);
    if (release.assets.some((asset) => asset.name === shown)) throw alreadyExists('ReleaseAsset', 'name');
    if (release.assets.length >= 1000) throw new Refused(422, 'Validation Failed', [{ code: 'too_many_assets' }]);
    const asset: StoredAsset = { id: this.#nextId++, name: shown, label, state: 'starter', size: 0, digest: null };
    release.assets.push(asset);
    return asset;
  }

  /** An asset that was deleted while its bytes came in is gone. */
  finishAsset(release: StoredRelease, asset: StoredAsset, size: number, sha256: string): void {
    if (!release.assets.includes(asset)) throw new Refused(404, 'Not Found');
    Object.assign(asset, { state: 'uploaded', size, digest: `sha256:${sha256}` });
  }

  deleteAsset(id: number): void {
    const { release, asset } = this.findAsset(id);
    if (this.isFrozen(release)) throw new Refused(422, 'Cannot delete asset from an immutable release');
    release.assets.splice(release.assets.indexOf(asset), 1);
  }

  find(id: number): StoredRelease {
    const release = this.releases.get(id);
    if (!release) throw new Refused(404, 'Not Found');
    return release;
  }

  findAsset(id: number): { release: StoredRelease; asset: StoredAsset } {
    for (const release of this.releases.values()) {
      const asset = release.assets.find((candidate) => candidate.id === id);
      if (asset) return { release, asset };
    }
    throw new Refused(404, 'Not Found');
  }

  private isFrozen(release: StoredRelease): boolean {
    return this.immutable && !release.draft;
  }
}

function checkBody(body: string): void {
  if (body.length > 125_000) throw new Refused(422, 'Validation Failed', [{ code: 'custom', field: 'body' }]);
}
