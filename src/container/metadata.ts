import semver from 'semver';
import { quote, UsageError } from '../io/errors.ts';
import { timestamp } from './image.ts';
import type { SourceTree } from './tree.ts';

const PREFIX = 'org.opencontainers.image.';

export interface MetadataOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** URL of the checkout's origin. */
  readonly origin: string | undefined;
  readonly tags: readonly string[];
  readonly license: string | undefined;
}

/**
 * The annotations that every image gets, named by the OCI image specification: `source`, `revision`, `version`,
 * `created` and `licenses`, those that are known.
 */
export function standardAnnotations(tree: SourceTree, options: MetadataOptions): Record<string, string> {
  const known = {
    source: sourceUrl(options.env, options.origin),
    revision: tree.revision,
    version: options.tags.find(isVersion),
    created: timestamp(tree.time),
    licenses: options.license,
  };
  const entries = Object.entries(known).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return Object.fromEntries(entries.map(([name, value]) => [PREFIX + name, value]));
}

/** Whether a tag is a semantic version, with or without a leading `v`; `_` stands for the `+` that tags can't hold. */
export function isVersion(tag: string): boolean {
  return semver.valid(tag.replace('_', '+')) !== null;
}

/** Where the sources are at home; ghcr.io links the package to the repository by it. */
export function sourceUrl(env: MetadataOptions['env'], origin: string | undefined): string | undefined {
  if (env.GITHUB_REPOSITORY) {
    return `${(env.GITHUB_SERVER_URL || 'https://github.com').replace(/\/+$/, '')}/${env.GITHUB_REPOSITORY}`;
  }
  return origin === undefined ? undefined : webUrl(origin);
}

/**
 * A remote's URL without user information and `.git`, as a browser takes it. A path of this machine is nobody else's
 * source: undefined.
 */
export function webUrl(remote: string): string | undefined {
  const scp = /^(?:[^/@:]+@)?([A-Za-z0-9.-]{2,}):(?!\/\/)\/?(.+)$/.exec(remote);
  const text = scp ? `ssh://${scp[1]}/${scp[2]}` : remote;
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (!['https:', 'http:', 'ssh:', 'git:'].includes(url.protocol)) return undefined;
  const overWeb = url.protocol === 'https:' || url.protocol === 'http:';
  const origin = overWeb ? `${url.protocol}//${url.host}` : `https://${url.hostname}`;
  return origin + url.pathname.replace(/\/+$/, '').replace(/\.git$/, '');
}

/** The name of a GitHub repository from a remote's URL: `owner/name`. */
export function githubRepository(remote: string | undefined): string | undefined {
  const [, repository] = /^https:\/\/github\.com\/([^/]+\/[^/]+)$/.exec((remote && webUrl(remote)) ?? '') ?? [];
  return repository;
}

/**
 * Reads `key=value` lines.
 *
 * @throws UsageError naming the input and the line
 */
export function parseKeyValues(input: string, lines: readonly string[]): Record<string, string> {
  const values: [string, string][] = [];
  for (const line of lines) {
    const [, key, value] = /^\s*([^\s=][^=]*?)\s*=(.*)$/s.exec(line) ?? [];
    if (key === undefined || value === undefined) {
      throw new UsageError(`"${input}" holds ${quote(line)}, but takes key=value`);
    }
    values.push([key, value.trim()]);
  }
  return Object.fromEntries(values);
}

const LICENSE_FILE = /^(licen[cs]e|copying|unlicense)(\.(md|txt))?$/i;

/** The texts that are told apart without doubt. The GNU licences' "or later" isn't in their text, so they are not here. */
const LICENSES: readonly (readonly [RegExp, string])[] = [
  [/^\s*Apache License\s+Version 2\.0,/, 'Apache-2.0'],
  [/^\s*(?:#\s*)?Mozilla Public License,? Version 2\.0/i, 'MPL-2.0'],
  [
    /Permission is hereby granted, free of charge, to any person obtaining a copy[\s\S]+The above copyright notice/,
    'MIT',
  ],
  [
    /Permission to use, copy, modify, and\/or distribute this software for any purpose[\s\S]+provided that the above/,
    'ISC',
  ],
  [/This is free and unencumbered software released into the public domain/, 'Unlicense'],
  [/Redistribution and use in source and binary forms[\s\S]+Neither the name/, 'BSD-3-Clause'],
  [/Redistribution and use in source and binary forms/, 'BSD-2-Clause'],
];
const MAX_LICENSE = 256 * 1024;

/** The SPDX expression of the licence file at the top of the tree, if its text is known. */
export async function detectLicense(tree: SourceTree, signal?: AbortSignal): Promise<string | undefined> {
  const file = tree.entries.find(({ path, kind }) => kind === 'file' && LICENSE_FILE.test(path));
  if (!file) return undefined;
  for await (const { size, body } of tree.contents([file], signal)) {
    if (size > MAX_LICENSE) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    return licenseOf(Buffer.concat(chunks).toString());
  }
  return undefined;
}

/** The SPDX expression of a licence's text: what it says of itself, else one of the well-known texts. */
export function licenseOf(text: string): string | undefined {
  const [, tagged] = /SPDX-License-Identifier:\s*([A-Za-z0-9.+() -]+)/.exec(text) ?? [];
  return tagged?.trim() ?? LICENSES.find(([pattern]) => pattern.test(text))?.[1];
}
