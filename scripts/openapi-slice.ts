/**
 * Cuts the part of GitHub's OpenAPI description that the stand-in server is held to into `test/data/github-openapi.json`.
 * The package `@octokit/openapi` weighs 417 MB and is no dependency: install it elsewhere and name its folder.
 *
 *     npm install --prefix /tmp/openapi @octokit/openapi
 *     node scripts/openapi-slice.ts /tmp/openapi/node_modules/@octokit/openapi
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const OPERATIONS: Readonly<Record<string, readonly string[]>> = {
  '/repos/{owner}/{repo}/releases': ['get', 'post'],
  '/repos/{owner}/{repo}/releases/{release_id}': ['get', 'patch', 'delete'],
  '/repos/{owner}/{repo}/releases/tags/{tag}': ['get'],
  '/repos/{owner}/{repo}/releases/generate-notes': ['post'],
  '/repos/{owner}/{repo}/releases/{release_id}/assets': ['get', 'post'],
  '/repos/{owner}/{repo}/releases/assets/{asset_id}': ['get', 'delete'],
};
/** Prose and examples, which nothing is checked against. */
const DROPPED = new Set([
  'description',
  'summary',
  'example',
  'examples',
  'tags',
  'externalDocs',
  'x-github',
  'x-octokit',
]);

function pruned(value: Json, inProperties = false): Json {
  if (Array.isArray(value)) return value.map((item) => pruned(item));
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([key]) => inProperties || !DROPPED.has(key));
  return Object.fromEntries(entries.map(([key, item]) => [key, pruned(item, key === 'properties' && !inProperties)]));
}

function at(document: Json, keys: readonly string[]): Json {
  let value = document;
  for (const key of keys) value = (value as Record<string, Json>)[key] ?? null;
  return value;
}

/** Adds everything that `value` refers to, and what that refers to. */
function collect(document: Json, value: Json, components: Record<string, Record<string, Json>>): void {
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value) && typeof value.$ref === 'string') {
    const [, , section = '', name = ''] = value.$ref.split('/');
    components[section] ??= {};
    if (components[section][name] !== undefined) return;
    const target = pruned(at(document, ['components', section, name]));
    components[section][name] = target;
    collect(document, target, components);
  }
  for (const item of Object.values(value)) collect(document, item, components);
}

/** GitHub's prose speaks of the state `starter`, which its schema forgets. */
function addStarterState(components: Record<string, Record<string, Json>>): void {
  const asset = components.schemas?.['release-asset'] as { properties: { state: { enum: string[] } } };
  asset.properties.state.enum.push('starter');
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? '');
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
  const document = JSON.parse(await readFile(join(folder, 'generated/api.github.com.json'), 'utf8')) as Json;
  const paths: Record<string, Record<string, Json>> = {};
  const components: Record<string, Record<string, Json>> = {};
  for (const [path, methods] of Object.entries(OPERATIONS)) {
    for (const method of methods) {
      const operation = pruned(at(document, ['paths', path, method]));
      paths[path] = { ...paths[path], [method]: operation };
      collect(document, operation, components);
    }
  }
  addStarterState(components);
  const slice = { source: `@octokit/openapi ${version}, generated/api.github.com.json`, paths, components };
  const output = join(import.meta.dirname, '../test/data/github-openapi.json');
  await writeFile(output, `${JSON.stringify(slice, null, 1)}\n`);
}
