import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { listOffers, resolveArtifact } from '../../src/coreos/index.ts';
import { resolveReference, toUrl } from '../../src/coreos/source.ts';
import { parseStream } from '../../src/coreos/stream.ts';

const data = join(import.meta.dirname, '../data/streams');
const text = (name: string) => readFileSync(join(data, `${name}.json`), 'utf8');
const stable = parseStream(text('stable'), 'stable.json');

describe.each(['stable', 'testing', 'next'])('the real stream %s', (name) => {
  const stream = parseStream(text(name), name);

  it('resolves every combination that it offers', () => {
    let count = 0;
    for (const { architecture, platform, release, formats } of listOffers(stream)) {
      for (const format of formats) {
        const artifacts = resolveArtifact(stream, { architecture, platform, format, release });
        expect(artifacts.map(({ part }) => part)).toEqual(
          format === 'pxe' ? ['kernel', 'initramfs', 'rootfs'] : ['disk'],
        );
        for (const artifact of artifacts) {
          expect(artifact.location).toMatch(/^https:/);
          expect(artifact.signature).toBe(`${artifact.location}.sig`);
          expect(artifact.sha256).toMatch(/^[0-9a-f]{64}$/);
        }
        count += artifacts.length;
      }
    }
    expect(count).toBeGreaterThan(50);
  });

  it('has a metal ISO for four architectures', () => {
    const withIso = listOffers(stream).filter((o) => o.platform === 'metal' && o.formats.includes('iso'));
    expect(withIso.map(({ architecture }) => architecture).sort()).toEqual(['aarch64', 'ppc64le', 's390x', 'x86_64']);
  });
});

describe('choosing', () => {
  const iso = { architecture: 'x86_64', platform: 'metal', format: 'iso' };

  it.each([
    [{ architecture: 'riscv64' }, /no architecture "riscv64"; "architecture" can be aarch64, ppc64le, s390x, x86_64/],
    [{ architecture: 'constructor' }, /no architecture "constructor"/],
    [{ platform: 'toaster' }, /x86_64 has no platform "toaster"; "platform" can be aliyun, applehv, .*vultr/],
    [{ format: 'floppy' }, /on metal has no format "floppy"; "format" can be 4k\.raw\.xz, iso, pxe, raw\.xz/],
    [{ release: '1.2.3' }, /"release" is "1\.2\.3", but stream "stable" .* has release 44\.20260707\.3\.1 now/],
    [
      { sha256: '0'.repeat(64) },
      /"sha256" is "0{64}", but .* has release 44\.20260707\.3\.1 now, with SHA-256 8ffd0d0f/,
    ],
  ])('tells what exists: %j', (change, message) => {
    expect(() => resolveArtifact(stable, { ...iso, ...change })).toThrow(message);
  });

  it('accepts a pin in any case, of the compressed and of the uncompressed file', () => {
    const [disk] = resolveArtifact(stable, { ...iso, format: 'raw.xz' });
    for (const pin of [disk?.sha256, disk?.uncompressedSha256]) {
      expect(resolveArtifact(stable, { ...iso, format: 'raw.xz', sha256: pin?.toUpperCase() })).toEqual([disk]);
    }
  });
});

describe('a malformed stream', () => {
  const broken = (change: (json: never) => void) => {
    const json = JSON.parse(text('stable'));
    change(json as never);
    return () => parseStream(JSON.stringify(json), 'https://x/stable.json');
  };
  type Json = { architectures: { x86_64: { artifacts: { metal: Record<string, unknown> } } } };

  it('is named with the field', () => {
    expect(() => parseStream('{"stream": ', 'https://x/y')).toThrow(/https:\/\/x\/y is not JSON/);
    expect(() => parseStream('[]', 'https://x/y')).toThrow(/https:\/\/x\/y is not the metadata .* the whole/);
    const message = /x\/stable\.json is not the metadata .*"architectures\.x86_64\.artifacts\.metal\.release"/;
    expect(
      broken((json: Json) => {
        delete json.architectures.x86_64.artifacts.metal.release;
      }),
    ).toThrow(message);
  });

  it('keeps unknown fields out of the way', () => {
    expect(
      broken((json: Json) => {
        json.architectures.x86_64.artifacts.metal.novelty = { a: 1 };
        Object.assign(json, { future: [1, 2] });
      }),
    ).not.toThrow();
  });

  it('never crashes the reader', () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        expect(() => parseStream(json, 'here')).toThrow(/^here is not/);
      }),
    );
  });
});

describe('where things are', () => {
  it('takes URLs and paths', () => {
    expect(toUrl('https://u:p@h/x', '/w').href).toBe('https://u:p@h/x');
    expect(toUrl('a b/s.json', '/w').href).toBe('file:///w/a%20b/s.json');
    expect(toUrl('file:///x.json', '/w').href).toBe('file:///x.json');
    expect(() => toUrl('ftp://u:secret@h/x', '/w')).toThrow(/^"ftp:\/\/h\/x" is not/);
    expect(() => toUrl('http://u:secret@', '/w')).toThrow(/^(?!.*secret)/);
  });

  it('passes credentials on to the same origin only', () => {
    const owner = new URL('http://u:p@h:1/streams/s.json');
    const base = new URL('http://h:1/streams/s.json');
    expect(resolveReference('x.iso', base, owner).href).toBe('http://u:p@h:1/streams/x.iso');
    expect(resolveReference('http://h:1/x.iso', base, owner).href).toBe('http://u:p@h:1/x.iso');
    expect(resolveReference('http://h:2/x.iso', base, owner).href).toBe('http://h:2/x.iso');
    expect(resolveReference('https://h:1/x.iso', base, owner).href).toBe('https://h:1/x.iso');
  });
});
