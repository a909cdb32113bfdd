import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeDemoBase } from '../../scripts/demo-base.ts';
import { runCli, runStep } from '../support/bundle.ts';
import { FcosServer } from '../support/fcos-server.ts';
import { IMAGE_PATH, makeKey, STREAM_PATH, serveImage, sha256, signImage, type TestKey } from '../support/images.ts';
import { writeK4allTree } from '../support/k4all-tree.ts';

const NAME = 'fedora-coreos-44.1.2.3-live-iso.x86_64.iso';

let folder: string;
let key: TestKey;
let image: Buffer;
let signature: Buffer;
let server: FcosServer;
let out: string;
let run = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-fetch-'));
  key = await makeKey('Test Fedora');
  await writeDemoBase(join(folder, 'base.iso'));
  image = await readFile(join(folder, 'base.iso'));
  signature = await signImage(image, key);
  await writeFile(join(folder, 'key.asc'), key.armored);
  await writeK4allTree(join(folder, 'workspace'));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  server = await FcosServer.start();
  serveImage(server, { image, signature, sha256: sha256(image) });
  out = join(folder, `out-${run++}`);
  return () => server[Symbol.asyncDispose]();
});

const inputs = () => ({ 'stream-url': server.url(STREAM_PATH), keyring: join(folder, 'key.asc'), 'output-dir': out });
const options = () => Object.entries(inputs()).map(([name, value]) => `--${name}=${value}`);

describe('fetch-coreos', () => {
  it('downloads and verifies, and then has it already', async () => {
    const first = await runCli(['fetch-coreos', '--json', ...options()]);
    expect(first).toMatchObject({ code: 0 });
    expect(JSON.parse(first.stdout)).toMatchObject({
      path: join(out, NAME),
      release: '44.1.2.3',
      sha256: sha256(image),
      size: image.length,
      url: server.url(IMAGE_PATH),
      'signed-by': `${key.key.getFingerprint().toUpperCase()} Test Fedora <test@example.org>`,
      'cache-hit': false,
    });
    expect((await readFile(join(out, NAME))).equals(image)).toBe(true);
    const served = server.bytesServed(IMAGE_PATH);
    const second = await runCli(['fetch-coreos', '--json', ...options()]);
    expect(JSON.parse(second.stdout)).toMatchObject({ 'cache-hit': true });
    expect(server.bytesServed(IMAGE_PATH)).toBe(served);
  });

  it('leaves nothing of an image with one wrong byte', async () => {
    const wrong = Buffer.from(image);
    wrong.writeUInt8(wrong.readUInt8(99_999) ^ 1, 99_999);
    server.serve(IMAGE_PATH, wrong);
    const { code, stderr } = await runCli(['fetch-coreos', ...options()]);
    expect(code).toBe(1);
    expect(stderr).toContain(sha256(image));
    expect(await readdir(out).catch(() => [])).toEqual([]);
  });

  it('runs as a step; without a cache service it warns and goes on', async () => {
    const step = await runStep('fetch-coreos', inputs(), { env: { NODE_OPTIONS: '' } });
    expect(step.code).toBe(0);
    expect(step.outputs).toMatchObject({ path: join(out, NAME), 'cache-hit': 'false', sha256: sha256(image) });
  });

  it('lists what a stream offers', async () => {
    const { code, stdout } = await runCli(['fetch-coreos', '--list', `--stream-url=${server.url(STREAM_PATH)}`]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/x86_64.*44\.1\.2\.3/s);
  });
});

describe('build-iso without base-iso', () => {
  const definition = async (lines: string) => {
    const workspace = join(folder, `workspace-${run}`);
    await mkdir(workspace);
    await writeK4allTree(workspace);
    await writeFile(join(workspace, 'key.asc'), key.armored);
    await writeFile(join(workspace, 'k4all.yaml'), lines);
    return workspace;
  };
  const build = (workspace: string) =>
    runCli(['build-iso', '--json', '--roles=worker', '--version=1', `--output-dir=${out}`], {
      cwd: workspace,
      env: { XDG_CACHE_HOME: join(workspace, '../cache') },
    });

  it('fetches, verifies and builds, from the command line and as a step', async () => {
    const workspace = await definition(`coreos: {stream-url: "${server.url(STREAM_PATH)}", keyring: [key.asc]}\n`);
    const { code, stdout, stderr } = await build(workspace);
    expect(stderr).toContain('Test Fedora');
    expect(code).toBe(0);
    expect(JSON.parse(stdout).files).toHaveLength(3);
    const info = JSON.parse(await readFile(join(out, 'build-info.json'), 'utf8'));
    expect(info.bases[0]).toMatchObject({ name: NAME, sha256: sha256(image) });
    const step = await runStep(
      'build-iso',
      { roles: 'worker', version: '1', 'output-dir': `${out}-step` },
      { cwd: workspace },
    );
    expect(step.code).toBe(0);
    expect(await readFile(join(`${out}-step`, 'SHA256SUMS'))).toEqual(await readFile(join(out, 'SHA256SUMS')));
  });

  it('writes nothing where the signature is by an unknown key', async () => {
    const workspace = await definition(`coreos: {stream-url: "${server.url(STREAM_PATH)}"}\n`);
    const { code, stderr } = await build(workspace);
    expect(code).toBe(1);
    expect(stderr).toMatch(/keyring/);
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });
});
