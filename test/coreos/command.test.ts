import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { command } from '../../src/commands/fetch-coreos.ts';
import { type CacheClient, runnerImageCache } from '../../src/commands/image-cache.ts';
import { parseInputs } from '../../src/commands/inputs.ts';
import { outputText, presentOutputs } from '../../src/commands/outputs.ts';
import type { Host } from '../../src/host/host.ts';
import { terminalHost } from '../../src/host/terminal.ts';
import { FcosServer } from '../support/fcos-server.ts';
import {
  IMAGE_PATH,
  makeKey,
  type Signed,
  STREAM_PATH,
  serveImage,
  signedImage,
  streamOf,
  type TestKey,
} from '../support/images.ts';

let key: TestKey;
let signed: Signed;
let server: FcosServer;
let folder: string;
let stderr: string;
let host: Host;

beforeAll(async () => {
  key = await makeKey('Test Fedora');
  signed = await signedImage(key, 50_000);
});

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-command-'));
  await writeFile(join(folder, 'key.asc'), key.armored);
  server = await FcosServer.start();
  stderr = '';
  const write = (text: string) => {
    stderr += text;
    return true;
  };
  host = terminalHost({
    env: {},
    cwd: folder,
    signal: new AbortController().signal,
    stderr: { write, isTTY: false, columns: 80 },
  });
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function run(given: Record<string, string>) {
  const all = { 'stream-url': server.url(STREAM_PATH), keyring: 'key.asc', ...given };
  const texts = Object.fromEntries(Object.entries(all).map(([name, text]) => [name, [text]]));
  return command.run(parseInputs(command.inputs, texts), host);
}

describe('fetch-coreos', () => {
  it('returns the outputs of the contract', async () => {
    serveImage(server, signed);
    const fingerprint = key.key.getFingerprint().toUpperCase();
    expect(await run({})).toEqual({
      path: join(folder, IMAGE_PATH.split('/').at(-1) ?? ''),
      release: '44.1.2.3',
      sha256: signed.sha256,
      size: 50_000,
      url: server.url(IMAGE_PATH),
      'signed-by': `${fingerprint} Test Fedora <test@example.org>`,
      'cache-hit': false,
    });
    expect(await run({})).toMatchObject({ 'cache-hit': true, 'signed-by': expect.stringContaining(fingerprint) });
  });

  it('returns objects for the PXE triple, which an action gets as JSON', async () => {
    const names = ['kernel', 'initramfs', 'rootfs'];
    const { sha256 } = signed;
    const parts = names.map((name) => [name, { location: `/${name}`, signature: '/image.sig', sha256 }]);
    for (const name of names) server.serve(`/${name}`, signed.image);
    server.serve('/image.sig', signed.signature);
    server.serve(STREAM_PATH, JSON.stringify(streamOf({ pxe: Object.fromEntries(parts) })));
    const outputs = await run({ format: 'pxe', 'output-dir': 'pxe' });
    expect(outputs.size).toEqual({ kernel: 50_000, initramfs: 50_000, rootfs: 50_000 });
    expect(JSON.parse(outputText('keyed', outputs.path))).toHaveProperty('rootfs', join(folder, 'pxe/rootfs'));
    expect(outputText('keyed', 50_000)).toBe('50000');
  });

  it('says loudly that a signature is not verified', async () => {
    serveImage(server, signed);
    expect((await run({ 'verify-signature': 'false' }))['signed-by']).toBe('');
    expect(stderr).toMatch(/^warning: "verify-signature" is off/m);
  });

  it('lists what a stream offers and fetches nothing', async () => {
    serveImage(server, signed);
    const listing = await run({ list: 'true' });
    expect(presentOutputs(command, listing)).toMatch(
      /^ARCHITECTURE +PLATFORM +RELEASE +FORMATS\nx86_64 +metal +44\.1\.2\.3 +iso$/,
    );
    expect(server.requests.map(({ path }) => path)).toEqual([STREAM_PATH]);
  });

  it.each([
    [{ sha256: 'abc' }, /"sha256" is "abc", but takes 64 hex digits/],
    [
      { stream: 'nonsense' },
      /"stream" is "nonsense", but "stream-url" has the stream "stable" only.*stable, testing, next/,
    ],
    [{ format: 'vhd' }, /"format" can be iso/],
    [{ keyring: 'missing.asc' }, /"keyring": .*missing\.asc can't be read/],
    [{ 'stream-url': 'missing.json' }, /missing\.json: there is no such file/],
  ])('refuses %j', async (given, message) => {
    serveImage(server, signed);
    await expect(run(given as Record<string, string>)).rejects.toThrow(message);
  });
});

describe("the runner's cache", () => {
  /** Keeps what it is given by path and key, and finds paths in the workspace, as the real one does. */
  function fakeClient(kept: Map<string, Buffer>, workspace = folder, available = true): CacheClient {
    return {
      isFeatureAvailable: () => available,
      async restoreCache([path = ''], cacheKey) {
        const bytes = kept.get(`${cacheKey} ${path}`);
        if (!bytes) return undefined;
        await writeFile(join(workspace, path), bytes);
        return cacheKey;
      },
      async saveCache([path = ''], cacheKey) {
        kept.set(`${cacheKey} ${path}`, await readFile(join(workspace, path)));
        return 1;
      },
    };
  }
  const runner = (job = folder): Host => {
    return { ...host, kind: 'runner', env: { RUNNER_TEMP: join(job, 'temp'), GITHUB_WORKSPACE: job } };
  };

  it('gives a job what another one has saved, wherever both work, and leaves the workspace as it was', async () => {
    const kept = new Map<string, Buffer>();
    const [first, second] = [join(folder, 'first [1]'), join(folder, 'second')];
    for (const job of [first, second]) await mkdir(job);
    const saving = await runnerImageCache(runner(first), async () => fakeClient(kept, first));
    await writeFile(join(folder, 'x.iso'), 'image');
    await saving?.save('abc', join(folder, 'x.iso'));
    expect(await readdir(first)).toEqual([]);
    // Relative, and without anything that a glob would take for more than itself.
    expect([...kept.keys()].join()).toMatch(/^k4all-coreos-abc [\w.-]+$/);
    const restoring = await runnerImageCache(runner(second), async () => fakeClient(kept, second));
    const path = restoring?.pathFor('abc', 'x.iso') ?? '';
    expect(await restoring?.restore('abc', path)).toBe(true);
    expect(await readFile(path, 'utf8')).toBe('image');
    expect(await restoring?.restore('abd', restoring.pathFor('abd', 'x.iso'))).toBe(false);
    expect(await readdir(second)).toEqual(['temp']);
    expect(await readFile(join(folder, 'x.iso'), 'utf8')).toBe('image');
  });

  it('never mixes up jobs that restore and save one image at the same time', async () => {
    const kept = new Map<string, Buffer>();
    await writeFile(join(folder, 'x.iso'), 'image');
    const jobs = await Promise.all(
      Array.from({ length: 8 }, async (_, index) => {
        const job = join(folder, `job${index}`);
        await mkdir(job);
        return runnerImageCache(runner(job), async () => fakeClient(kept, job));
      }),
    );
    await Promise.all(jobs.map((cache) => cache?.save('abc', join(folder, 'x.iso'))));
    const restored = jobs.map(async (cache) => {
      const path = cache?.pathFor('abc', 'x.iso') ?? '';
      return (await cache?.restore('abc', path)) && readFile(path, 'utf8');
    });
    expect(await Promise.all(restored)).toEqual(jobs.map(() => 'image'));
    expect(stderr).not.toContain('warning');
  });

  it('warns when it fails, and is left out where there is none', async () => {
    const broken = { ...fakeClient(new Map()), restoreCache: () => Promise.reject(new Error('no service')) };
    const cache = await runnerImageCache(runner(), async () => broken);
    expect(await cache?.restore('abc', join(folder, 'abc/x.iso'))).toBe(false);
    expect(stderr).toContain("warning: x.iso can't be restored from the cache: no service");
    expect(await runnerImageCache(runner(), async () => fakeClient(new Map(), folder, false))).toBeUndefined();
    expect(await runnerImageCache(host)).toBeUndefined();
  });
});
