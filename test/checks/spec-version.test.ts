import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import table from '../../src/checks/ignition-releases.json' with { type: 'json' };
import { checkSpecVersion } from '../../src/checks/index.ts';
import { peer } from '../support/peers.ts';
import { gzipResource, percentUrl } from './samples.ts';

const config = (version: unknown, settings: object = {}) => ({ ignition: { version, ...settings } });

describe('checkSpecVersion', () => {
  it.each([
    ['3.0.0', '30.20190716.1'],
    ['3.0.0', '32.20200601.3.0'],
    ['3.1.0', '32.20200601.3.0'],
    ['3.2.0', '34.20210427.3.0'],
    ['3.3.0', '35.20220116.3.0'],
    ['3.3.0', '37.20230122.3.0'],
    ['3.4.0', '38.20230430.3.1'],
    ['3.4.0', '40.20240504.3.0'],
    ['3.5.0', '41.20241109.3.0'],
    ['3.6.0', '44.20260707.3.1'],
    ['3.5.0-experimental', '40.20240504.3.0'],
    ['3.7.0-experimental', '44.20260707.3.1'],
  ])('takes spec %s for %s', (version, release) => expect(checkSpecVersion(config(version), release)).toBeUndefined());

  it.each([
    ['3.1.0', '31.20200310.3.0', 'up to 3.0.0', 'from 31.20200507 on'],
    ['3.2.0', '32.20200601.3.0', 'up to 3.1.0', 'from 32.20201015 on'],
    ['3.3.0', '34.20210427.3.0', 'up to 3.2.0', 'from 34.20210626 on'],
    ['3.4.0', '37.20230122.3.0', 'up to 3.3.0', 'from 37.20230221 on'],
    ['3.5.0', '40.20240504.3.0', 'up to 3.4.0', 'from 40.20241023 on'],
    ['3.6.0', '42.20250803.3.0', 'up to 3.5.0', 'from 43.20260223 on'],
    ['3.6.0', '38.20230430.3.1', 'up to 3.4.0', 'from 43.20260223 on'],
    ['3.7.0', '44.20260707.3.1', 'up to 3.6.0', 'a newer release'],
    ['4.0.0', '44.20260707.3.1', 'up to 3.6.0', 'a newer release'],
    ['3.7.0-experimental', '42.20250803.3.0', 'up to 3.5.0', 'a newer release'],
  ])('refuses spec %s for %s', (version, release, understood, fix) => {
    const problem = checkSpecVersion(config(version), release);
    for (const part of [`spec ${version}`, release, understood, fix, 'older Butane']) expect(problem).toContain(part);
  });

  it.each(['', '44', 'latest', '4.18.0', '414.92.202407300859-0', '99.20991231.3.0', '44.20261101.3.0'])(
    'takes any 3.x for a release that it does not know: %j',
    (release) => {
      for (const version of ['3.0.0', '3.6.0', '3.7.0', '3.8.0-experimental']) {
        expect(checkSpecVersion(config(version), release)).toBeUndefined();
      }
    },
  );

  it.each([
    [{}, 'has no "ignition.version"'],
    [null, 'has no "ignition.version"'],
    [[], 'has no "ignition.version"'],
    ['3.4.0', 'has no "ignition.version"'],
    [{ ignition: '3.4.0' }, 'has no "ignition.version"'],
    [config(null), 'has no "ignition.version"'],
    [config('2.2.0'), 'has never understood'],
    [config('1.0.0'), 'has never understood'],
    [config('3.4'), 'no Ignition spec'],
    [config('3.4.1'), 'no Ignition spec'],
    [config(''), 'no Ignition spec'],
    [config(3.4), 'no Ignition spec'],
    [config('3.4.0\n::error::'), '"3.4.0\\n::error::"'],
    [config('3.5.0-experimental'), '3.5.0 is stable'],
  ])('refuses %j for every release', (value, message) => {
    for (const release of ['', '44.20260707.3.1', '99.20991231.3.0'])
      expect(checkSpecVersion(value, release)).toContain(message);
  });

  it('looks at the configs that are merged or replace it', () => {
    const newer = JSON.stringify(config('3.5.0'));
    const merged = config('3.3.0', { config: { merge: [{ source: 'https://example.com' }, gzipResource(newer)] } });
    const replaced = config('3.3.0', { config: { replace: { source: percentUrl(JSON.stringify(merged)) } } });
    expect(checkSpecVersion(merged, '38.20230430.3.1')).toContain(
      'the Ignition config at $.ignition.config.merge[1] uses Ignition spec 3.5.0',
    );
    expect(checkSpecVersion(replaced, '38.20230430.3.1')).toContain(
      'at $.ignition.config.replace at $.ignition.config.merge[1] uses',
    );
    expect(checkSpecVersion(replaced, '41.20241109.3.0')).toBeUndefined();
  });

  it('never throws, and says nothing or a sentence', () => {
    const version = fc.oneof(
      fc.string(),
      fc.jsonValue(),
      fc.tuple(fc.nat(5), fc.nat(9), fc.nat(2)).map((parts) => parts.join('.')),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          version.map((value) => config(value)),
          fc.jsonValue(),
        ),
        fc.oneof(fc.string(), fc.constant('40.20240504.3.0')),
        (value, release) => {
          expect(checkSpecVersion(value, release)).toSatisfy((text) => text === undefined || !text.includes('\n'));
        },
      ),
    );
  });

  it('understands more the newer the release is', () => {
    const date = fc.integer({ min: 20190101, max: 20270101 });
    fc.assert(
      fc.property(date, date, fc.nat(table.specs.length), (a, b, minor) => {
        const accepts = (day: number) => checkSpecVersion(config(`3.${minor}.0`), `40.${day}.3.0`) === undefined;
        expect(accepts(Math.max(a, b)) || !accepts(Math.min(a, b))).toBe(true);
      }),
    );
  });
});

describe('the table of releases', () => {
  it('lists the specs and their dates in order', () => {
    expect(table.specs.map(({ spec }) => spec)).toEqual(table.specs.map((_, minor) => `3.${minor}.0`));
    const dates = table.specs.map(({ since }) => Number(/^\d\d\.(\d{8})$/.exec(since)?.[1]));
    expect(dates).toEqual([...new Set(dates)].sort((a, b) => a - b));
    expect(dates.every((date) => date <= table.knownUntil)).toBe(true);
  });

  it('is the one in the docs', async () => {
    const page = await readFile(new URL('../../docs/secrets.md', import.meta.url), 'utf8');
    const rows = [...page.matchAll(/^\| (3\.\d\.0) \| [^|]+ \| (\S+) \|$/gm)].map(([, spec, since]) => ({
      spec,
      since,
    }));
    expect(rows).toEqual(table.specs);
  });

  const { available, path } = peer('butane');
  it.runIf(available)('knows the newest spec that Butane writes', () => {
    const written = execFileSync(path, [], { input: 'variant: fcos\nversion: 1.7.0\n', encoding: 'utf8' });
    expect(JSON.parse(written).ignition.version).toBe(table.specs.at(-1)?.spec);
  });
});
