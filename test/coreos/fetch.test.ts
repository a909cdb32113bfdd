import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type FetchedArtifact,
  type FetchOptions,
  fetchArtifact,
  type ImageCache,
  loadStream,
  resolveArtifact,
} from '../../src/coreos/index.ts';
import { noProgress } from '../../src/io/progress.ts';
import { FcosServer } from '../support/fcos-server.ts';
import {
  IMAGE_PATH,
  makeKey,
  type Signed,
  STREAM_PATH,
  serveImage,
  sha256,
  signedImage,
  signImage,
  streamOf,
  type TestKey,
} from '../support/images.ts';

const SIZE = 300_000;
let key: TestKey;
let folder: string;
let keyring: string;
let server: FcosServer;
let signed: Signed;
let log: string[];

beforeAll(async () => {
  key = await makeKey('Test Fedora');
  signed = await signedImage(key, SIZE);
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-fetch-'));
  keyring = join(folder, 'key.asc');
  await writeFile(keyring, key.armored);
  server = await FcosServer.start();
  log = [];
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

type Overrides = Partial<FetchOptions> & { format?: string; streamUrl?: string };

async function fetchAll({ format = 'iso', streamUrl, ...overrides }: Overrides = {}): Promise<FetchedArtifact[]> {
  const quick = { firstWait: 1, stallTimeout: 200 };
  const source = await loadStream({ stream: 'stable', url: streamUrl ?? server.url(STREAM_PATH), cwd: folder }, quick);
  const artifacts = resolveArtifact(source.stream, { architecture: 'x86_64', platform: 'metal', format });
  const say = (message: string) => void log.push(message);
  const results = [];
  for (const artifact of artifacts) {
    const reporter = { info: say, warning: say, progress: () => ({ ...noProgress, [Symbol.dispose]() {} }) };
    results.push(
      await fetchArtifact(artifact, source, {
        outputDir: join(folder, 'out'),
        decompress: false,
        verifySignature: true,
        keyring: [keyring],
        reporter,
        ...quick,
        ...overrides,
      }),
    );
  }
  return results;
}

async function fetchOne(overrides: Overrides = {}): Promise<FetchedArtifact> {
  const [result] = await fetchAll(overrides);
  if (!result) throw new Error('nothing was fetched');
  return result;
}

async function files(): Promise<string[]> {
  return readdir(join(folder, 'out')).catch(() => []);
}

async function expectVerified(result: FetchedArtifact): Promise<void> {
  expect(await readFile(result.path)).toEqual(signed.image);
  expect(await files()).toEqual([IMAGE_PATH.split('/').at(-1)]);
}

/** The fetch fails with this message, and leaves nothing behind. */
async function expectRefused(message: RegExp, overrides: Overrides = {}): Promise<void> {
  await expect(fetchOne(overrides)).rejects.toThrow(message);
  expect(await files()).toEqual([]);
}

describe('a fetch', () => {
  it('gives the verified image its name and tells who signed', async () => {
    serveImage(server, signed);
    const result = await fetchOne();
    await expectVerified(result);
    expect(result).toMatchObject({
      release: '44.1.2.3',
      sha256: signed.sha256,
      size: SIZE,
      url: server.url(IMAGE_PATH),
      cacheHit: false,
      signedBy: { fingerprint: key.key.getFingerprint().toUpperCase(), userId: 'Test Fedora <test@example.org>' },
    });
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(1);
  });

  it('takes file URLs and paths, with locations relative to the stream', async () => {
    await writeFile(join(folder, 'x.iso'), signed.image);
    await writeFile(join(folder, 'x.sig'), signed.signature);
    const disk = { location: 'x.iso', signature: './x.sig', sha256: signed.sha256 };
    await writeFile(join(folder, 's.json'), JSON.stringify(streamOf({ iso: { disk } })));
    const result = await fetchOne({ streamUrl: 's.json' });
    expect(await readFile(result.path)).toEqual(signed.image);
    expect(result.cacheHit).toBe(true);
  });

  it('resolves relative locations of a remote stream, and refuses local files there', async () => {
    serveImage(server, signed, { location: `..${IMAGE_PATH}`, signature: `${IMAGE_PATH}.sig` });
    await expectVerified(await fetchOne());
    serveImage(server, signed, { location: 'file:///etc/passwd' });
    await expect(fetchOne()).rejects.toThrow(/"file:\/\/\/etc\/passwd", which can't be fetched from there/);
  });

  it('skips the signature when told to', async () => {
    serveImage(server, signed, { signature: undefined });
    await expectRefused(/names no signature .* "verify-signature"/);
    expect((await fetchOne({ verifySignature: false })).signedBy).toBeUndefined();
  });

  it('fetches the PXE triple', async () => {
    const parts: Record<string, object> = {};
    for (const part of ['kernel', 'initramfs', 'rootfs']) {
      const one = await signedImage(key, 1000);
      server.serve(`/${part}`, one.image);
      server.serve(`/${part}.sig`, one.signature);
      parts[part] = { location: `/${part}`, signature: `/${part}.sig`, sha256: one.sha256 };
    }
    server.serve(STREAM_PATH, JSON.stringify(streamOf({ pxe: parts })));
    const results = await fetchAll({ format: 'pxe' });
    expect(results.map(({ part }) => part)).toEqual(['kernel', 'initramfs', 'rootfs']);
    expect(await files()).toEqual(['initramfs', 'kernel', 'rootfs']);
  });

  it('refuses a name that leaves the folder', async () => {
    serveImage(server, signed, { location: server.url('/a/..%2f..%2fevil') });
    await expectRefused(/usable file name/);
  });

  it('names the need and the free bytes before the download when there is no room', async () => {
    serveImage(server, signed);
    await expectRefused(/needs 300000 bytes, but only 1000 bytes are free/, { freeBytes: async () => 1000 });
    expect(log.join()).not.toContain('try 2');
  });
});

describe('resuming', () => {
  it('fetches every byte once, wherever the connection is cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: SIZE - 1 }), { minLength: 1, maxLength: 4 }),
        async (cuts) => {
          await rm(join(folder, 'out'), { recursive: true, force: true });
          await using own = await FcosServer.start();
          serveImage(own, signed);
          own.fail(IMAGE_PATH, ...cuts.sort((a, b) => a - b).map((after) => ({ kind: 'cut', after }) as const));
          await expectVerified(await fetchOne({ streamUrl: own.url(STREAM_PATH) }));
          // What a cut leaves in the kernel's buffers is lost; everything that arrived is kept.
          const sent = own.requestsFor(IMAGE_PATH).map(({ headers }) => headers.range);
          expect(sent.slice(1).every((range, index) => range !== undefined || (cuts[index] ?? 0) === 0)).toBe(true);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('asks for the rest only, under the condition that the file is the same', async () => {
    serveImage(server, signed);
    server.fail(IMAGE_PATH, { kind: 'stall', after: 200_000 });
    await expectVerified(await fetchOne());
    const [first, second] = server.requestsFor(IMAGE_PATH);
    expect(second?.headers.range).toBe('bytes=200000-');
    expect(second?.headers['if-range']).toMatch(/^"[0-9a-f]{32}"$/);
    expect([first?.served, second?.served]).toEqual([200_000, 100_000]);
    expect(server.bytesServed(IMAGE_PATH)).toBe(SIZE);
  });

  it('validates by date where there is no entity tag', async () => {
    serveImage(server, signed);
    server.serve(IMAGE_PATH, signed.image, { validator: 'date' });
    server.fail(IMAGE_PATH, { kind: 'stall', after: 200_000 });
    await expectVerified(await fetchOne());
    expect(server.requestsFor(IMAGE_PATH)[1]?.headers['if-range']).toBe('Wed, 08 Jul 2026 10:00:00 GMT');
    expect(server.bytesServed(IMAGE_PATH)).toBe(SIZE);
  });

  it.each([
    ['without range support', { ranges: false }],
    ['without anything to validate by', { validator: 'none' }],
  ] as const)('starts again %s', async (_, options) => {
    serveImage(server, signed);
    server.serve(IMAGE_PATH, signed.image, options);
    server.fail(IMAGE_PATH, { kind: 'stall', after: 200_000 });
    await expectVerified(await fetchOne());
    expect(server.bytesServed(IMAGE_PATH)).toBe(200_000 + SIZE);
  });

  it('starts again when the file changed meanwhile', async () => {
    const old = await signedImage(key, SIZE + 5);
    serveImage(server, signed);
    server.serve(IMAGE_PATH, old.image);
    server.fail(IMAGE_PATH, { kind: 'stall', after: 200_000 }, { kind: 'change', body: signed.image });
    await expectVerified(await fetchOne());
  });

  it('gives up after five tries', async () => {
    serveImage(server, signed);
    server.failAlways(IMAGE_PATH, { kind: 'cut', after: 200_000 });
    await expectRefused(/127\.0\.0\.1/);
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(5);
  });
});

describe('a server that fails', () => {
  it.each([408, 429, 500, 502, 503])('is asked again after %i', async (status) => {
    serveImage(server, signed);
    const fault = { kind: 'status', status, headers: { 'retry-after': '0' } } as const;
    for (const path of [STREAM_PATH, `${IMAGE_PATH}.sig`, IMAGE_PATH]) server.fail(path, fault, fault);
    await expectVerified(await fetchOne());
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(3);
  });

  it.each([401, 403, 404, 410])('is not asked again after %i', async (status) => {
    serveImage(server, signed);
    server.failAlways(IMAGE_PATH, { kind: 'status', status });
    await expectRefused(new RegExp(`${IMAGE_PATH} answered ${status}`));
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(1);
  });

  it.each([-1000, 1000])('is found out when it promises a length that is off by %i', async (by) => {
    serveImage(server, signed);
    server.failAlways(IMAGE_PATH, { kind: 'length', by });
    await expectRefused(/./);
  });

  it('is left alone in a redirect loop', async () => {
    serveImage(server, signed);
    server.failAlways(IMAGE_PATH, { kind: 'redirect', to: IMAGE_PATH });
    await expectRefused(/more than 10 redirects/);
  });

  it('delivers other bytes in vain', async () => {
    serveImage(server, signed);
    const changed = Buffer.from(signed.image);
    changed.writeUInt8(changed.readUInt8(1234) ^ 1, 1234);
    server.serve(IMAGE_PATH, changed);
    await expectRefused(/has the SHA-256 [0-9a-f]{64}, but the stream says/);
    // With the digest adapted it is the signature that doesn't hold.
    serveImage(server, { ...signed, image: changed, sha256: sha256(changed) });
    await expectRefused(/signature .* does not match the data: .*Sign/);
  });

  it('is interrupted at once', async () => {
    serveImage(server, signed);
    server.failAlways(IMAGE_PATH, { kind: 'stall', after: 1000 });
    const controller = new AbortController();
    const fetching = fetchOne({ signal: controller.signal, stallTimeout: 60_000 });
    setTimeout(() => controller.abort(new Error('interrupted by a test')), 100);
    await expect(fetching).rejects.toThrow('interrupted by a test');
    expect(await files()).toEqual([]);
  });
});

describe('credentials', () => {
  it('go to the origin they were given for, and nowhere else', async () => {
    await using other = await FcosServer.start();
    serveImage(server, signed);
    other.serve(IMAGE_PATH, signed.image);
    server.fail(IMAGE_PATH, { kind: 'redirect', to: other.url(IMAGE_PATH) });
    const streamUrl = server.url(STREAM_PATH).replace('://', '://user:s3cret%25@');
    const result = await fetchOne({ streamUrl });
    await expectVerified(result);
    const basic = `Basic ${Buffer.from('user:s3cret%').toString('base64')}`;
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual([basic, basic, basic]);
    expect(other.requests.map(({ headers }) => headers.authorization)).toEqual([undefined]);
    expect(JSON.stringify([result, log])).not.toMatch(/s3cret|dXNlcj/);
  });

  it('are in no message', async () => {
    serveImage(server, signed);
    server.failAlways(IMAGE_PATH, { kind: 'status', status: 500 });
    const streamUrl = server.url(STREAM_PATH).replace('://', '://user:s3cret@');
    const error: unknown = await fetchOne({ streamUrl }).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain('answered 500');
    expect(log.join()).toContain('try 2 in');
    expect(JSON.stringify([String(error), log])).not.toContain('s3cret');
  });
});

describe('signatures', () => {
  it.each([
    ['truncated', (bytes: Buffer) => bytes.subarray(0, 40)],
    ['empty', () => Buffer.alloc(0)],
    ['no signature', () => Buffer.from('<html>not found</html>')],
  ])('that are %s are refused before the image is fetched', async (_, damage) => {
    serveImage(server, { ...signed, signature: damage(signed.signature) });
    await expectRefused(/OpenPGP signature/);
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(0);
  });

  it('by an unknown key are refused with what to do', async () => {
    const stranger = await makeKey('Stranger');
    serveImage(server, { ...signed, signature: await signImage(signed.image, stranger) });
    const id = stranger.key.getKeyID().toHex().toUpperCase();
    await expectRefused(new RegExp(`unknown key ${id}, probably that of Fedora 44.*"keyring"`));
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(0);
  });

  it('of other data are refused', async () => {
    const other = await signedImage(key, 100);
    serveImage(server, { ...signed, signature: other.signature });
    await expectRefused(/does not match the data/);
  });

  it('hold if one of several does', async () => {
    const stranger = await makeKey('Stranger');
    const both = Buffer.concat([await signImage(signed.image, stranger), signed.signature]);
    serveImage(server, { ...signed, signature: both });
    await expectVerified(await fetchOne());
  });
});

describe('reuse', () => {
  const place = async (bytes: Buffer) => {
    await fetchOne().catch(() => {});
    const path = join(folder, 'out', IMAGE_PATH.split('/').at(-1) ?? '');
    await writeFile(path, bytes);
  };

  it('keeps a file that is there with the right digest, and verifies its signature', async () => {
    serveImage(server, signed);
    await fetchOne();
    const again = await fetchOne();
    expect(again).toMatchObject({ cacheHit: true, signedBy: { userId: 'Test Fedora <test@example.org>' } });
    expect(server.bytesServed(IMAGE_PATH)).toBe(SIZE);
  });

  it('replaces a file with another digest', async () => {
    serveImage(server, signed);
    await place(Buffer.from('something else'));
    const result = await fetchOne();
    await expectVerified(result);
    expect(result.cacheHit).toBe(false);
  });

  it('keeps the file that is there when the new one is not proven', async () => {
    serveImage(server, signed);
    await place(Buffer.from('something else'));
    server.serve(IMAGE_PATH, Buffer.from('wrong'));
    await expect(fetchOne()).rejects.toThrow(/SHA-256/);
    expect(await readFile(join(folder, 'out', (await files())[0] ?? ''), 'utf8')).toBe('something else');
  });

  it('lets several fetches of one image succeed at once', async () => {
    serveImage(server, signed);
    for (const result of await Promise.all([1, 2, 3, 4, 5].map(() => fetchOne()))) await expectVerified(result);
  });
});

describe('the cache', () => {
  function memoryCache(kept: Map<string, Buffer>): ImageCache {
    return {
      pathFor: (digest, name) => join(folder, `${digest}-${name}`),
      async restore(digest, path) {
        const bytes = kept.get(digest);
        if (bytes) await writeFile(path, bytes);
        return bytes !== undefined;
      },
      async save(digest, path) {
        kept.set(digest, await readFile(path));
      },
    };
  }

  it('saves what was fetched and brings it back', async () => {
    serveImage(server, signed);
    const kept = new Map<string, Buffer>();
    expect((await fetchOne({ cache: memoryCache(kept) })).cacheHit).toBe(false);
    await rm(join(folder, 'out'), { recursive: true });
    const result = await fetchOne({ cache: memoryCache(kept) });
    await expectVerified(result);
    expect(result.cacheHit).toBe(true);
    expect(server.requestsFor(IMAGE_PATH)).toHaveLength(1);
  });

  it('is not believed', async () => {
    serveImage(server, signed);
    const result = await fetchOne({ cache: memoryCache(new Map([[signed.sha256, Buffer.from('poison')]])) });
    await expectVerified(result);
    expect(result.cacheHit).toBe(false);
    expect(log.join()).toContain('downloaded instead');
  });
});

describe('decompression on the way', () => {
  const packed = async (plain: Buffer) => {
    const image = gzipSync(plain);
    return { image, signature: await signImage(image, key), sha256: sha256(image) };
  };
  const gz = '/builds/disk.raw.gz';
  const serveGz = (file: Signed, uncompressed?: string) => {
    const disk = { location: gz, signature: `${gz}.sig`, sha256: file.sha256, 'uncompressed-sha256': uncompressed };
    server.serve(gz, file.image);
    server.serve(`${gz}.sig`, file.signature);
    server.serve(STREAM_PATH, JSON.stringify(streamOf({ 'raw.gz': { disk } })));
  };
  const options = { format: 'raw.gz', decompress: true };

  it('writes the contents, and checks both digests', async () => {
    serveGz(await packed(signed.image), signed.sha256);
    const result = await fetchOne(options);
    expect(await readFile(result.path)).toEqual(signed.image);
    expect(result).toMatchObject({ sha256: signed.sha256, size: SIZE, cacheHit: false });
    expect(await files()).toEqual(['disk.raw']);
    expect((await fetchOne(options)).cacheHit).toBe(true);
  });

  it('goes on after a broken connection, and starts again where it must', async () => {
    const file = await packed(signed.image);
    serveGz(file, signed.sha256);
    server.fail(gz, { kind: 'stall', after: 100_000 });
    expect(await readFile((await fetchOne(options)).path)).toEqual(signed.image);
    await rm(join(folder, 'out'), { recursive: true });
    server.serve(gz, file.image, { ranges: false });
    server.fail(gz, { kind: 'stall', after: 100_000 });
    expect(await readFile((await fetchOne(options)).path)).toEqual(signed.image);
  });

  it('refuses another uncompressed digest', async () => {
    serveGz(await packed(signed.image), '0'.repeat(64));
    await expectRefused(/uncompressed SHA-256/, options);
  });

  it('refuses damaged and truncated data', async () => {
    const file = await packed(signed.image);
    const damaged = Buffer.from(file.image);
    damaged.fill(0xff, 5000, 6000);
    serveGz({ ...file, image: damaged }, signed.sha256);
    await expectRefused(/disk\.raw\.gz/, options);
    serveGz({ ...file, image: file.image.subarray(0, 9000) }, signed.sha256);
    await expectRefused(/disk\.raw\.gz/, options);
  });
});
