import { execFileSync, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { writeDemoBase } from '../scripts/demo-base.ts';
import { sha256File } from '../src/io/hash.ts';
import { type Bench, benchFolder } from './harness.ts';

const cli = resolve(import.meta.dirname, '../dist/cli.js');

/** Serves a folder; runs in a process of its own, so that it costs every contender the same. */
const SERVER = `
  const { createServer } = require('node:http'), { createReadStream, statSync } = require('node:fs');
  const server = createServer((request, response) => {
    const path = process.argv[1] + request.url;
    response.writeHead(200, { 'content-length': statSync(path).size });
    createReadStream(path, { highWaterMark: 1 << 20 }).pipe(response);
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
`;

/** Fetches and verifies an image from a server on loopback. */
export async function bench({ size }: { size: number }): Promise<Bench[]> {
  const folder = await mkdtemp(join(benchFolder(), 'k4all-fetch-'));
  const image = join(folder, 'image.iso');
  await writeDemoBase(image, { rootfsSize: size });
  const keyring = sign(folder, image);
  const disk = { location: 'image.iso', signature: 'image.iso.sig', sha256: await sha256File(image) };
  const metal = { release: '44.1.2.3', formats: { iso: { disk } } };
  const stream = { stream: 'stable', architectures: { x86_64: { artifacts: { metal } } } };
  await writeFile(join(folder, 'stable.json'), JSON.stringify(stream));
  const server = await startServer(folder);
  process.once('exit', () => {
    server.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  const ours = ['fetch-coreos', '--stream-url', `${server.origin}/stable.json`, '--keyring', keyring] as const;
  const url = `${server.origin}/image.iso`;
  return [
    {
      title: 'Fetch and verify from loopback',
      reach: '≤ 0.7 of curl, openssl and gpgv; ≤ 150 MB',
      contenders: [
        { name: 'k4all fetch-coreos', steps: () => [[process.execPath, cli, ...ours]] },
        {
          name: 'curl, openssl dgst, gpgv',
          needs: ['curl', 'openssl', 'gpgv'],
          steps: () => [
            ['curl', '--silent', '--fail', '-O', url, '-O', `${url}.sig`],
            ['openssl', 'dgst', '-sha256', 'image.iso'],
            ['gpgv', '--keyring', keyring, 'image.iso.sig', 'image.iso'],
          ],
        },
      ],
    },
  ];
}

/** Signs as Fedora does, RSA 4096 with SHA-256. Returns the keyring. */
function sign(folder: string, file: string): string {
  const keyring = join(folder, 'key.gpg');
  const gpg = (...args: string[]) =>
    execFileSync('gpg', ['--homedir', folder, '--batch', '--quiet', '--passphrase', '', ...args], { stdio: 'pipe' });
  gpg('--quick-generate-key', 'Bench <bench@example.org>', 'rsa4096', 'sign', 'never');
  gpg('--digest-algo', 'SHA256', '--output', `${file}.sig`, '--detach-sign', file);
  gpg('--output', keyring, '--export');
  execFileSync('gpgconf', ['--homedir', folder, '--kill', 'all']);
  return keyring;
}

async function startServer(folder: string): Promise<{ origin: string; kill(): void }> {
  const child = spawn(process.execPath, ['-e', SERVER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise<string>((done) => child.stdout.once('data', (chunk) => done(String(chunk).trim())));
  // It must not keep the benches from ending.
  child.unref();
  child.stdout.destroy();
  return { origin: `http://127.0.0.1:${port}`, kill: () => child.kill() };
}
