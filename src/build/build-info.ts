import manifest from '../../package.json' with { type: 'json' };
import type { Architecture, Format } from './definition.ts';

/** A file that went into a build, by its path in the workspace. */
export interface InputFile {
  readonly path: string;
  readonly sha256: string;
}

/** The base image of an architecture. */
export interface BaseRecord {
  readonly architecture: Architecture;
  /** The file's name, without folders. */
  readonly name: string;
  readonly release: string;
  readonly size: number;
  readonly sha256: string;
}

/** What the live system of a role gets. */
export interface RoleRecord {
  readonly role: string;
  readonly 'live-ignition-sha256': string;
}

/** An image that was built; `path` is relative to the output folder. */
export interface ImageRecord {
  readonly role: string;
  readonly architecture: Architecture;
  readonly format: Format;
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

/** What went into a build and what came out. */
export interface BuildRecord {
  readonly name: string;
  readonly version: string;
  readonly butaneVersion: string;
  readonly diskSize: number;
  readonly kernelArguments: readonly string[];
  readonly bases: readonly BaseRecord[];
  readonly inputs: readonly InputFile[];
  readonly roles: readonly RoleRecord[];
  readonly images: readonly ImageRecord[];
}

/** The text of `build-info.json`: no time, host name or absolute path, so that equal builds have equal files. */
export function buildInfo(record: BuildRecord): string {
  const info = {
    name: record.name,
    version: record.version,
    tools: { 'build-iso': manifest.version, butane: record.butaneVersion },
    'disk-size': record.diskSize,
    'kernel-arguments': record.kernelArguments,
    bases: record.bases,
    inputs: [...record.inputs].sort((a, b) => (a.path < b.path ? -1 : 1)),
    roles: record.roles,
    outputs: record.images,
  };
  return `${JSON.stringify(info, null, 2)}\n`;
}

/** The text of `SHA256SUMS`, as `sha256sum` writes it for binary files. */
export function checksumsText(files: readonly { readonly path: string; readonly sha256: string }[]): string {
  return files.map(({ path, sha256 }) => `${sha256}  ${path}\n`).join('');
}
