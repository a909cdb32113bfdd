import { describe, expect, it } from 'vitest';
import { deniedAdvice, privateAdvice } from '../../src/container/advice.ts';
import { checkTags, formatTarget, parseImage, parsePrefix, parseReference } from '../../src/container/reference.ts';
import { UsageError } from '../../src/io/errors.ts';

const DIGEST = `sha256:${'0'.repeat(64)}`;

describe('the name of an image', () => {
  it.each([
    ['ghcr.io/K4all/Build-ISO', 'ghcr.io/k4all/build-iso'],
    ['localhost:5000/a', 'localhost:5000/a'],
    ['localhost/a', 'localhost/a'],
    ['[::1]:5000/a/b_c', '[::1]:5000/a/b_c'],
    ['docker.io/owner/name', 'docker.io/owner/name'],
    ['oci:Some/Dir', 'oci:Some/Dir'],
    ['oci:C:\\dir', 'oci:C:\\dir'],
    ['oci-archive:File.tar', 'oci-archive:File.tar'],
  ])('%j is %j', (text, expected) => expect(formatTarget(parseImage(text))).toBe(expected));

  it.each([
    'name',
    'owner/name',
    'ghcr.io/',
    'ghcr.io/a b',
    'ghcr.io/a//b',
    'ghcr.io/a:tag',
    `ghcr.io/a@${DIGEST}`,
    'oci:',
    'https://ghcr.io/a',
    'localhost:0/a',
    'localhost:65536/a',
  ])('%j is refused', (text) => expect(() => parseImage(text)).toThrow(UsageError));
});

it('of Docker Hub goes where it answers', () => {
  expect(parseImage('docker.io/owner/name')).toMatchObject({ host: 'registry-1.docker.io' });
});

describe('a reference', () => {
  it.each([
    ['ghcr.io/a/b', 'ghcr.io/a/b', 'latest'],
    ['localhost:5000/a:v1', 'localhost:5000/a', 'v1'],
    [`ghcr.io/a/b:v1@${DIGEST}`, 'ghcr.io/a/b', DIGEST],
    ['oci:dir', 'oci:dir', undefined],
    ['oci:dir:v1', 'oci:dir', 'v1'],
    ['oci:C:\\dir:v1', 'oci:C:\\dir', 'v1'],
    ['oci-archive:/a/b.tar:latest', 'oci-archive:/a/b.tar', 'latest'],
    ['oci-archive:/a/b.tar', 'oci-archive:/a/b.tar', undefined],
  ])('%j is %j, %j', (text, target, tag) => {
    const reference = parseReference(text);
    expect([formatTarget(reference.target), reference.tag]).toEqual([target, tag]);
  });

  it.each(['ghcr.io/a@sha256:12', 'ghcr.io/a:-x', 'name', 'oci:'])('%j is refused by the name of its input', (text) => {
    expect(() => parseReference(text)).toThrow(UsageError);
    expect(() => parseReference(text)).toThrow(/"extract"/);
  });
});

it('tags are checked and not repeated', () => {
  expect(checkTags(['v1', 'latest', 'v1'])).toEqual(['v1', 'latest']);
  for (const tag of ['', '-a', 'a b', 'a:b', 'x'.repeat(129), 'ä'])
    expect(() => checkTags([tag])).toThrow(/"tags" holds/);
});

it('a prefix is absolute and stays where it says', () => {
  expect([parsePrefix('/src'), parsePrefix('/a//b/./c/'), parsePrefix('/')]).toEqual(['/src', '/a/b/c', '/']);
  for (const prefix of ['src', '', '/a/../b', '/a\\b']) expect(() => parsePrefix(prefix)).toThrow(UsageError);
});

describe('advice', () => {
  const base = { host: 'ghcr.io', repository: 'owner/a/b', credentials: undefined };
  const credentials = { username: 'u', password: 'p', from: 'GITHUB_TOKEN' };

  it('names the missing permission, wherever it was refused', () => {
    expect(deniedAdvice(base)).toMatch(/No credentials.*packages: write/);
    expect(deniedAdvice({ ...base, credentials })).toMatch(/GITHUB_TOKEN.*packages: write.*Manage Actions access/);
    expect(deniedAdvice({ ...base, host: 'quay.io', credentials })).toContain('packages: write');
  });

  it('says where a private package is made public', () => {
    const organization = privateAdvice({ ...base, ownerType: 'Organization' });
    expect(organization).toContain('https://github.com/orgs/owner/packages/container/a%2Fb/settings');
    expect(privateAdvice(base)).toContain('https://github.com/users/owner/packages/container/a%2Fb/settings');
  });
});
