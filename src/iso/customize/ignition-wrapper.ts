import { gzipSync } from 'node:zlib';
import { quote } from '../../io/errors.ts';

/** Specs that have all a wrapper needs (compressed resources came with 3.1.0); the first is what coreos-installer writes. */
export const WRAPPER_SPECS = ['3.3.0', '3.2.0', '3.1.0'] as const;
export type WrapperSpec = (typeof WRAPPER_SPECS)[number];

interface Resource {
  readonly compression: 'gzip';
  readonly source: string;
}

/**
 * An Ignition config made of parts: certificate authorities, files, units, and whole configs that are merged. Keys stand
 * in the order in which coreos-installer writes them.
 */
export class IgnitionWrapper {
  readonly #spec: WrapperSpec;
  readonly #merge: Resource[] = [];
  readonly #authorities: Resource[] = [];
  readonly #files: { contents: Resource; mode: number; overwrite: null; path: string }[] = [];
  readonly #units: { contents: string; enabled: true; mask: null; name: string }[] = [];

  constructor(spec: WrapperSpec) {
    this.#spec = spec;
  }

  /** Merges another config, at its own spec version. */
  addConfig(config: Uint8Array): void {
    this.#merge.push(resource(config));
  }

  /** Trusts the certificates of a PEM bundle. */
  addAuthority(bundle: Uint8Array): void {
    this.#authorities.push(resource(bundle));
  }

  /** @throws Error if the path is taken */
  addFile(path: string, data: Uint8Array, mode: number): void {
    if (this.#files.some((file) => file.path === path)) {
      throw new Error(`two inputs would both become ${path} in the live system: rename one of the files`);
    }
    this.#files.push({ contents: resource(data), mode, overwrite: null, path });
  }

  /** @throws Error if the name is taken */
  addUnit(name: string, contents: string): void {
    if (this.#units.some((unit) => unit.name === name)) {
      throw new Error(`two inputs would both become the unit ${quote(name)}: rename one of the files`);
    }
    this.#units.push({ contents, enabled: true, mask: null, name });
  }

  get isEmpty(): boolean {
    return this.#merge.length + this.#authorities.length + this.#files.length + this.#units.length === 0;
  }

  /** The config as JSON with a newline at its end. */
  toBytes(): Buffer {
    const config = {
      ignition: {
        ...(this.#merge.length > 0 && { config: { merge: this.#merge } }),
        ...(this.#authorities.length > 0 && { security: { tls: { certificateAuthorities: this.#authorities } } }),
        version: this.#spec,
      },
      ...(this.#files.length > 0 && { storage: { files: this.#files } }),
      ...(this.#units.length > 0 && { systemd: { units: this.#units } }),
    };
    return Buffer.from(`${JSON.stringify(config)}\n`);
  }
}

function resource(data: Uint8Array): Resource {
  const compressed = gzipSync(data, { level: 9 });
  // The header's byte for the operating system differs between builds of zlib; 255 is "unknown" (RFC 1952, 2.3.1).
  compressed[9] = 255;
  return { compression: 'gzip', source: `data:;base64,${compressed.toString('base64')}` };
}
