import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findSecrets } from '../../src/checks/index.ts';
import {
  base64Url,
  configWith,
  GITHUB,
  gzipResource,
  HARMLESS,
  HASH,
  letters,
  pem,
  percentUrl,
  SECRETS,
  variable,
  withFile,
} from './samples.ts';

const CONTENTS = '$.storage.files[0].contents.source';
const kinds = (config: unknown) => findSecrets(config).map(({ kind }) => kind);

describe('what is a secret', () => {
  it.each(SECRETS)('finds a %s in a file (%#)', (kind, text) => {
    expect(kinds(withFile({ source: base64Url(text) }))).toContain(kind);
    expect(kinds(withFile({ source: base64Url(`# before\n${text}\n# after\n`) }))).toContain(kind);
  });

  it.each(SECRETS)('finds a %s in a unit (%#)', (kind, text) => {
    expect(
      kinds(configWith({ systemd: { units: [{ name: 'a.service', contents: `[Service]\n${text}\n` }] } })),
    ).toContain(kind);
  });

  it.each(HARMLESS)('finds none (%#)', (text) => {
    expect(findSecrets(withFile({ source: base64Url(text) }))).toEqual([]);
    expect(
      findSecrets(configWith({ passwd: { users: [{ name: 'core', passwordHash: text, sshAuthorizedKeys: [text] }] } })),
    ).toEqual([]);
  });

  it.each([HASH, `!${HASH}`, '$y$j9T$abc$def', '$sha1$1$abc$def', 'abJnggxhB/yWI'])(
    'takes the passwordHash %j for one',
    (passwordHash) => {
      expect(
        findSecrets(configWith({ passwd: { users: [{ name: 'core' }, { name: 'admin', passwordHash }] } })),
      ).toEqual([{ kind: 'password hash', path: '$.passwd.users[1].passwordHash' }]);
    },
  );

  it('finds the headers of requests', () => {
    const header = (name: string, value: string) => ({ name, value });
    const httpHeaders = [
      header('Accept', 'text/html'),
      header('authorization', 'Basic abc'),
      header('X-Auth-Token', variable('TOKEN')),
    ];
    expect(findSecrets(withFile({ source: 'https://example.com/a', httpHeaders }))).toEqual([
      { kind: 'HTTP credentials', path: '$.storage.files[0].contents.httpHeaders[1].value' },
    ]);
  });

  it('finds passwords in URLs', () => {
    const merge = [{ source: 'https://user@example.com/a' }, { source: 'https://user:hunter2@example.com/a' }];
    expect(findSecrets({ ignition: { version: '3.4.0', config: { merge } } })).toEqual([
      { kind: 'password in a URL', path: '$.ignition.config.merge[1].source' },
    ]);
  });

  it('takes any key file of a LUKS volume for a key, but not one that is fetched', () => {
    const luks = [
      { keyFile: { source: 'data:,hunter2' } },
      { keyFile: { source: 'https://example.com/key' } },
      { keyFile: { source: 'data:,' } },
    ];
    expect(findSecrets(configWith({ storage: { luks } }))).toEqual([
      { kind: 'LUKS key', path: '$.storage.luks[0].keyFile.source' },
    ]);
  });

  it('looks into the config of a clevis pin', () => {
    const config = JSON.stringify({ url: 'https://example.com', jwk: { kty: 'oct', d: letters('d', 43) } });
    expect(findSecrets(configWith({ storage: { luks: [{ clevis: { custom: { pin: 'sss', config } } }] } }))).toEqual([
      { kind: 'private key', path: '$.storage.luks[0].clevis.custom.config' },
    ]);
  });
});

describe('where it is', () => {
  it.each([
    ['base64', { source: base64Url(GITHUB) }],
    ['percent-encoded', { source: percentUrl(GITHUB) }],
    ['plain', { source: `data:,${GITHUB}` }],
    ['with a media type', { source: base64Url(GITHUB).replace(':', ':text/plain; charset=utf-8') }],
    ['in capitals', { source: base64Url(GITHUB).replace('data', 'DATA') }],
    ['gzip', gzipResource(GITHUB)],
    [
      'gzip, percent-encoded',
      {
        compression: 'gzip',
        source: `data:,${[...gzipSync(GITHUB)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`,
      },
    ],
  ])('finds contents %s', (_, contents) => {
    expect(findSecrets(withFile(contents))).toEqual([{ kind: 'GitHub token', path: CONTENTS }]);
  });

  it('names drop-ins, appended contents and several kinds', () => {
    const config = configWith({
      storage: {
        files: [{ path: '/a', append: [{ source: 'data:,a' }, { source: percentUrl(`${GITHUB}\n${HASH}`) }] }],
      },
      systemd: {
        units: [{ name: 'a.service', dropins: [{ name: 'b.conf', contents: `[Service]\nEnvironment=T=${GITHUB}` }] }],
      },
    });
    expect(findSecrets(config)).toEqual([
      { kind: 'password hash', path: '$.storage.files[0].append[1].source' },
      { kind: 'GitHub token', path: '$.storage.files[0].append[1].source' },
      { kind: 'GitHub token', path: '$.systemd.units[0].dropins[0].contents' },
    ]);
  });

  it('continues inside of configs that are carried as files, merged, or replacements', () => {
    const role = JSON.stringify(configWith({ passwd: { users: [{ name: 'core', passwordHash: HASH }] } }));
    const inner = '$.passwd.users[0].passwordHash';
    const merging = JSON.stringify({
      ignition: { version: '3.4.0', config: { merge: [gzipResource(role)], replace: { source: percentUrl(role) } } },
    });
    expect(findSecrets(withFile({ source: base64Url(merging) }))).toEqual([
      { kind: 'password hash', path: `${CONTENTS} → $.ignition.config.merge[0].source → ${inner}` },
      { kind: 'password hash', path: `${CONTENTS} → $.ignition.config.replace.source → ${inner}` },
    ]);
  });

  it('names an unusual key without repeating it', () => {
    expect(findSecrets({ [GITHUB]: { 'a b': GITHUB } })).toEqual([
      { kind: 'GitHub token', path: '$[?]' },
      { kind: 'GitHub token', path: '$[?][?]' },
    ]);
  });

  it('follows configs in configs eight deep', () => {
    const wrapped = (levels: number): object => {
      if (levels === 0) return configWith({ passwd: { users: [{ name: 'a', passwordHash: HASH }] } });
      return withFile(gzipResource(JSON.stringify(wrapped(levels - 1))));
    };
    expect(findSecrets(wrapped(8))[0]?.path.split(' → ')).toHaveLength(9);
    expect(findSecrets(wrapped(10))).toEqual([]);
  });
});

describe('bounds', () => {
  it('ends where contents unpack to more than 64 MiB', () => {
    const bomb = { compression: 'gzip', source: base64Url(gzipSync(Buffer.alloc(65 * 2 ** 20))) };
    const files = [
      { contents: gzipResource(GITHUB) },
      ...Array.from({ length: 200 }, () => ({ contents: bomb })),
      { contents: gzipResource(GITHUB) },
      { contents: { source: percentUrl(GITHUB) } },
    ];
    expect(findSecrets(configWith({ storage: { files } })).map(({ path }) => path)).toEqual([
      CONTENTS,
      '$.storage.files[202].contents.source',
    ]);
  });

  it('passes over contents that are damaged', () => {
    const files = [
      { compression: 'gzip', source: percentUrl('no gzip') },
      { compression: 'gzip', source: base64Url(gzipSync(GITHUB).subarray(0, 20)) },
      { source: 'data:' },
      { source: 'data:;base64,%%%' },
    ];
    expect(findSecrets(configWith({ storage: { files: files.map((contents) => ({ contents })) } }))).toEqual([]);
  });

  it.each([
    ['deep values', () => JSON.parse('['.repeat(5000) + ']'.repeat(5000))],
    [
      'a value in itself',
      () => {
        const loop: Record<string, unknown> = {};
        loop.self = loop;
        return loop;
      },
    ],
    ['no object', () => 'text'],
    ['nothing', () => undefined],
  ])('gets through %s', (_, config) => expect(findSecrets(config())).toEqual([]));

  // Each of these would take hours if an expression tried the same characters again and again.
  it.each([
    '$',
    'a$',
    '$y$a',
    '$6$a$',
    'eyJ',
    'eyJaaaaaaaa.',
    '-',
    '-----BEGIN ',
    '-----BEGIN PRIVATE KEY-----\n',
    'A ',
    'a: ',
    'gh',
    'token ',
    'token',
    'K10',
    'xoxb-',
    '"auth":"',
    '"d":"',
    `"d":"${'a'.repeat(40)}"`,
    'authorization:',
    ' ',
    '\n',
    'data:,',
    '{"ignition"',
    '%',
  ])('gets through a text of %j over and over', (part) => {
    const text = part.repeat(Math.ceil(2 ** 20 / part.length));
    expect(() => findSecrets([text, { source: percentUrl(text) }, { a: `{"ignition":${text}` }])).not.toThrow();
  });
});

describe('of any config', () => {
  const word = fc.constantFrom(
    'ignition',
    'version',
    'storage',
    'files',
    'contents',
    'source',
    'compression',
    'passwordHash',
    'keyFile',
    'httpHeaders',
    'name',
    'value',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string().map(percentUrl),
    fc.uint8Array().map(base64Url),
    fc.constantFrom('gzip', 'data:', '3.4.0', HASH),
  );
  const anything = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      text,
      fc.jsonValue(),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(word, fc.string()), tie('value'), { maxKeys: 5 }),
    ),
  })).value;

  it('never throws', () => {
    fc.assert(
      fc.property(anything, (config) => void findSecrets(config)),
      { numRuns: 500 },
    );
  });

  it('finds what is planted, and never repeats it', () => {
    const secret = fc.constantFrom(HASH, GITHUB, pem('OPENSSH PRIVATE KEY'));
    const wrap = fc.array(fc.constantFrom(base64File, gzipFile, mergedConfig, unit), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(secret, wrap, anything, (planted, wrappers, noise) => {
        const config = wrappers.reduce<string>((inner, wrapper) => JSON.stringify(wrapper(inner, noise)), planted);
        const found = findSecrets(JSON.parse(config));
        expect(found.length).toBeGreaterThan(0);
        for (const line of planted.split('\n')) expect(JSON.stringify(found)).not.toContain(line);
      }),
      { numRuns: 300 },
    );
  });
});

const base64File = (inner: string, noise: unknown) => ({ noise, ...withFile({ source: base64Url(inner) }) });
const gzipFile = (inner: string, noise: unknown) => ({ noise, ...withFile(gzipResource(inner)) });
const mergedConfig = (inner: string) => ({
  ignition: { version: '3.4.0', config: { merge: [{ source: percentUrl(inner) }] } },
});
/** A unit's text isn't taken for a config, so what is packed inside stays hidden; the plain secret comes along. */
const unit = (inner: string) =>
  configWith({
    systemd: { units: [{ name: 'a.service', contents: inner }] },
    storage: { files: [{ path: '/x', contents: { source: percentUrl(inner) } }] },
  });
