import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { hasCode } from '../io/errors.ts';
import { pathInside } from '../io/paths.ts';
import { type Architecture, type Definition, defaultDefinition, type Format, parseDefinition } from './definition.ts';
import { insideWorkspace } from './plan.ts';

/** What the inputs of `build-iso` say beside the definition; undefined or empty where nothing is said. */
export interface Overrides {
  readonly name?: string | undefined;
  readonly roles: readonly string[];
  readonly architectures?: readonly Architecture[] | undefined;
  readonly stream?: string | undefined;
  readonly formats?: readonly Format[] | undefined;
  /** In bytes. */
  readonly diskSize?: number | undefined;
  /** Appended to those of the definition. */
  readonly kernelArguments: readonly string[];
}

/** A definition in its place: inputs have been applied, and paths in it are relative to `folder`. */
export interface LoadedDefinition {
  readonly definition: Definition;
  /** The definition's folder relative to the workspace, with `/`. */
  readonly folder: string;
  /** The definition's file, if there is one. */
  readonly file: string | undefined;
}

/** Where the base images come from; paths are absolute. */
export interface CoreosSource {
  readonly stream: string;
  readonly streamUrl: string | undefined;
  readonly release: string | undefined;
  readonly keyring: readonly string[];
}

const DEFAULT_FILE = 'k4all.yaml';

/**
 * Loads a workspace's definition: the file that is given, else `k4all.yaml` if there is one, else the k4all layout.
 *
 * @param workspace absolute path
 * @param file absolute path
 * @throws Error if a given file is missing or outside the workspace, FindingsError if it isn't valid
 */
export async function loadDefinition(
  workspace: string,
  file: string | undefined,
  overrides: Overrides,
): Promise<LoadedDefinition> {
  const path = file ?? join(workspace, DEFAULT_FILE);
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if (!hasCode(error, 'ENOENT')) throw error;
    if (file === undefined) return undefined;
    throw new Error(`"definition": there is no file ${file}`);
  });
  if (text === undefined) return { definition: apply(defaultDefinition, overrides), folder: '.', file: undefined };
  const folder = pathInside(workspace, dirname(path));
  if (folder === undefined) throw new Error(`"definition": ${path} is outside the workspace ${workspace}`);
  return { definition: apply(parseDefinition(text, path), overrides), folder: folder || '.', file: path };
}

function apply(definition: Definition, overrides: Overrides): Definition {
  const { name, roles, architectures, stream, formats, diskSize, kernelArguments } = overrides;
  const append = [...definition.live['kernel-arguments'].append, ...kernelArguments];
  return {
    ...definition,
    ...(name !== undefined && { name }),
    ...(roles.length > 0 && { roles: [...new Set(roles)] }),
    ...(architectures && { architectures: [...architectures] }),
    ...(stream !== undefined && { coreos: { ...definition.coreos, stream } }),
    ...(formats && { formats: [...formats] }),
    ...(diskSize !== undefined && { 'disk-size': String(diskSize) }),
    live: { ...definition.live, 'kernel-arguments': { append } },
  };
}

/** Where a definition's base images come from, its paths resolved. */
export function coreosSource({ definition, folder }: LoadedDefinition, workspace: string): CoreosSource {
  const { stream, release, keyring } = definition.coreos;
  const url = definition.coreos['stream-url'];
  const absolute = (path: string) => join(workspace, insideWorkspace(folder, path));
  return {
    stream,
    streamUrl: url === undefined || URL.canParse(url) ? url : absolute(url),
    release,
    keyring: keyring.map(absolute),
  };
}
