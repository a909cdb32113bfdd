import { describe, expect, it } from 'vitest';
import { configFindings, isEmptyConfig } from '../../src/checks/index.ts';
import { configWith, HASH } from './samples.ts';

const leaky = configWith({ passwd: { users: [{ name: 'core', passwordHash: HASH }] } });
const message = 'password hash at $.passwd.users[0].passwordHash: whoever has the image can read it';

describe('configFindings', () => {
  it.each([
    ['warn', 'warning'],
    ['fail', 'error'],
  ] as const)('with secrets: %s makes each one a %s', (secrets, severity) => {
    expect(configFindings(leaky, { secrets })).toEqual([{ severity, message }]);
  });

  it('keeps silent where secrets are ignored', () => {
    expect(configFindings(leaky, { secrets: 'ignore', release: '44.20260707.3.1' })).toEqual([]);
  });

  it('says which file and which role it is', () => {
    const location = { file: '/a.ign' };
    expect(configFindings(leaky, { secrets: 'warn', location, subject: 'role worker' })).toEqual([
      { severity: 'warning', message: `role worker: ${message}`, location },
    ]);
  });

  it('makes a spec that a release does not understand an error, once per problem', () => {
    const release = ['37.20230122.3.0', '37.20230122.3.0', '44.20260707.3.1', '36.20220505.3.2'];
    const findings = configFindings(leaky, { secrets: 'ignore', release });
    expect(findings.map(({ severity }) => severity)).toEqual(['error', 'error']);
    expect(configFindings(leaky, { secrets: 'ignore', release: '37.20230122.3.0' })).toEqual(findings.slice(0, 1));
  });
});

describe('isEmptyConfig', () => {
  it.each([
    {},
    null,
    { ignition: {} },
    { ignition: { version: '3.4.0' } },
    { ignition: { version: '3.4.0', config: { merge: [] }, proxy: {} }, passwd: { users: [{}] }, storage: null },
  ])('takes %j for empty', (config) => expect(isEmptyConfig(config)).toBe(true));

  it.each([
    configWith({ passwd: { users: [{ name: 'core' }] } }),
    configWith({ kernelArguments: { shouldExist: ['a'] } }),
    { ignition: { version: '3.4.0', config: { merge: [{ source: 'data:,a' }] } } },
    { ignition: { version: '3.4.0', timeouts: { httpTotal: 0 } } },
    { version: '3.4.0' },
    { ignition: 'a' },
    'a',
    false,
    0,
  ])('takes %j for filled', (config) => expect(isEmptyConfig(config)).toBe(false));

  it('gets through deep values', () => {
    expect(isEmptyConfig(JSON.parse(`${'['.repeat(5000)}${']'.repeat(5000)}`))).toBe(true);
  });
});
