import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseChallenges } from '../../src/container/challenge.ts';
import { findCredentials } from '../../src/container/credentials.ts';
import { temporaryFolder, writeTree } from '../support/repository.ts';

const auth = (text: string) => ({ auth: Buffer.from(text).toString('base64') });
const inFile = (value: unknown) => JSON.stringify(value);

describe('credentials', () => {
  it('come from the token, then for ghcr.io from GITHUB_TOKEN, then from the auth files, Podman first', async () => {
    await using folder = await temporaryFolder();
    const HOME = folder.path;
    await writeTree(HOME, {
      'podman.json': inFile({ auths: { 'ghcr.io/owner': auth('podman:p1'), 'ghcr.io': auth('podman:p2') } }),
      '.docker/config.json': inFile({
        auths: { 'ghcr.io': auth('docker:d'), 'https://quay.io/v1/': auth('docker:q:r') },
      }),
    });
    const env = {
      HOME,
      XDG_RUNTIME_DIR: HOME,
      REGISTRY_AUTH_FILE: join(HOME, 'podman.json'),
      GITHUB_TOKEN: 'gh',
      GITHUB_ACTOR: 'actor',
    };
    const find = (host: string, options: { token?: string } = {}, variables: Record<string, string> = env) =>
      findCredentials(host, 'owner/name', { ...options, env: variables });
    expect(await find('ghcr.io', { token: 't' })).toMatchObject({ username: 'actor', password: 't' });
    expect(await find('quay.io', { token: 't' })).toMatchObject({ password: 't' });
    expect(await find('ghcr.io')).toMatchObject({ username: 'actor', password: 'gh' });
    const { GITHUB_TOKEN: _, ...without } = env;
    expect(await find('ghcr.io', {}, without)).toMatchObject({ username: 'podman', password: 'p1' });
    expect(await find('quay.io')).toMatchObject({ username: 'docker', password: 'q:r' });
    const { REGISTRY_AUTH_FILE: __, ...dockerOnly } = without;
    expect(await find('ghcr.io', {}, dockerOnly)).toMatchObject({ username: 'docker', password: 'd' });
    expect(await find('nowhere.example')).toBeUndefined();
  });

  it('come from a credential helper, which is asked by its own protocol', async () => {
    await using folder = await temporaryFolder();
    const script = [
      '#!/bin/sh',
      'read -r registry',
      '[ "$1" = get ] || exit 9',
      'case "$registry" in',
      `ghcr.io) echo '{"ServerURL":"ghcr.io","Username":"helped","Secret":"s"}';;`,
      `token.example) echo '{"Username":"<token>","Secret":"refresh"}';;`,
      'broken.example) echo "no keyring" >&2; exit 2;;',
      '*) echo "credentials not found in native keychain"; exit 1;;',
      'esac',
    ];
    await writeTree(folder.path, {
      'bin/docker-credential-fake*': script.join('\n'),
      '.docker/config.json': inFile({
        credsStore: 'fake',
        credHelpers: { 'lost.example': 'not-there', 'evil.example': '../../x' },
      }),
    });
    const env = {
      HOME: folder.path,
      XDG_RUNTIME_DIR: folder.path,
      PATH: `${join(folder.path, 'bin')}:${process.env.PATH}`,
    };
    const find = (host: string) => findCredentials(host, 'o/n', { env });
    expect(await find('ghcr.io')).toMatchObject({ username: 'helped', password: 's', from: 'docker-credential-fake' });
    expect(await find('token.example')).toMatchObject({ identityToken: 'refresh' });
    expect(await find('other.example')).toBeUndefined();
    await expect(find('broken.example')).rejects.toThrow(/docker-credential-fake failed/);
    await expect(find('lost.example')).rejects.toThrow(/docker-credential-not-there is not installed/);
    await expect(find('evil.example')).rejects.toThrow(/is not the name of a credential helper/);
  });

  it('that can not be read are an error which does not quote them', async () => {
    await using folder = await temporaryFolder();
    await writeTree(folder.path, { '.docker/config.json': '{"auths":{"ghcr.io":{"auth":"c2VjcmV0' });
    const env = { HOME: folder.path, XDG_RUNTIME_DIR: folder.path };
    const failure = await findCredentials('ghcr.io', 'o/n', { env }).catch(String);
    expect(failure).toMatch(/config\.json is not valid JSON/);
    expect(failure).not.toContain('c2Vj');
  });
});

describe('a challenge', () => {
  it.each([
    [
      'Bearer realm="https://a/token",service="a",scope="repository:o/n:pull,push"',
      [{ scheme: 'bearer', parameters: { realm: 'https://a/token', service: 'a', scope: 'repository:o/n:pull,push' } }],
    ],
    [
      'Basic realm="x y", Bearer realm=z',
      [
        { scheme: 'basic', parameters: { realm: 'x y' } },
        { scheme: 'bearer', parameters: { realm: 'z' } },
      ],
    ],
    ['BEARER Realm = "a\\"b"', [{ scheme: 'bearer', parameters: { realm: 'a"b' } }]],
    ['', []],
  ])('%j is read', (header, expected) => expect(parseChallenges(header)).toEqual(expected));

  it('may be anything', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', '"', '\\', '=', ',', ' ', '\t', ';', 'ü') }),
        (text) => void parseChallenges(text),
      ),
    );
  });
});
