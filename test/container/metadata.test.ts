import { describe, expect, it } from 'vitest';
import {
  githubRepository,
  licenseOf,
  parseKeyValues,
  sourceUrl,
  standardAnnotations,
  webUrl,
} from '../../src/container/metadata.ts';
import type { SourceTree } from '../../src/container/tree.ts';
import { UsageError } from '../../src/io/errors.ts';

describe('the URL of the sources', () => {
  it.each([
    ['https://user:token@github.com/o/n.git', 'https://github.com/o/n'],
    ['https://github.com/o/n/', 'https://github.com/o/n'],
    ['git@github.com:o/n.git', 'https://github.com/o/n'],
    ['ssh://git@host.example:2222/o/n.git', 'https://host.example/o/n'],
    ['http://host.example:8080/o/n.git', 'http://host.example:8080/o/n'],
    ['/home/me/repository', undefined],
    ['../repository', undefined],
    ['file:///home/me/repository', undefined],
    ['C:\\repository', undefined],
  ])('%j is %j', (remote, expected) => expect(webUrl(remote)).toBe(expected));

  it('comes from the runner first', () => {
    const env = { GITHUB_SERVER_URL: 'https://git.example', GITHUB_REPOSITORY: 'O/N' };
    expect(sourceUrl(env, 'https://elsewhere.example/x')).toBe('https://git.example/O/N');
    expect(sourceUrl({}, undefined)).toBeUndefined();
    expect(githubRepository('git@github.com:O/N.git')).toBe('O/N');
    expect(githubRepository('https://gitlab.com/o/n')).toBeUndefined();
  });
});

it('the version is the first tag that is one, and further tags change nothing', () => {
  const tree = { time: 0, revision: 'abc' } as SourceTree;
  const annotations = (tags: string[]) =>
    standardAnnotations(tree, { env: {}, origin: undefined, tags, license: 'MIT' });
  expect(annotations(['latest', 'v1.2.3', 'v2.0.0'])).toEqual({
    'org.opencontainers.image.revision': 'abc',
    'org.opencontainers.image.version': 'v1.2.3',
    'org.opencontainers.image.created': '1970-01-01T00:00:00Z',
    'org.opencontainers.image.licenses': 'MIT',
  });
  expect(annotations(['v1.2.3', 'v1'])).toEqual(annotations(['v1.2.3']));
  expect(annotations(['1.0.0_build'])['org.opencontainers.image.version']).toBe('1.0.0_build');
});

it('key=value lines keep commas and equal signs in values', () => {
  expect(parseKeyValues('labels', ['a=1,2', 'b=x=y', 'c='])).toEqual({ a: '1,2', b: 'x=y', c: '' });
  for (const line of ['a', '=b', ' = ']) expect(() => parseKeyValues('labels', [line])).toThrow(UsageError);
});

it('licences are known by their text', () => {
  expect(
    licenseOf(
      '                                 Apache License\n                           Version 2.0, January 2004\n',
    ),
  ).toBe('Apache-2.0');
  expect(licenseOf('SPDX-License-Identifier: GPL-2.0-or-later\n')).toBe('GPL-2.0-or-later');
  expect(licenseOf('GNU GENERAL PUBLIC LICENSE Version 3')).toBeUndefined();
});
