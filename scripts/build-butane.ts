/**
 * Builds `dist/butane.wasm.br` from the Go module in `wasm/butane`, with what belongs to it: Go's `wasm_exec.js` in a
 * wrapper and the manifest that names versions and digest. The same Go gives the same bytes on every machine.
 *
 *     node scripts/build-butane.ts            half a minute, most of it compression
 *     node scripts/build-butane.ts --check    rebuilds, compares with what is committed, and writes nothing;
 *                                             skipped where the Go of the manifest isn't installed
 */
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { sha256 } from '../src/io/hash.ts';

const root = resolve(import.meta.dirname, '..');
const module = join(root, 'wasm/butane');
const compressed = join(root, 'dist/butane.wasm.br');
const glue = join(module, 'wasm_exec.js');
const manifestFile = join(module, 'manifest.json');

/** `wasm/butane/manifest.json`: what the committed WebAssembly was made of. `size` is its length in bytes, unpacked. */
interface Manifest {
  readonly go: string;
  readonly butane: string;
  readonly ignition: string;
  readonly size: number;
  readonly sha256: string;
}

function go(args: readonly string[], environment: Record<string, string> = {}): string {
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', ...environment };
  return execFileSync('go', args, { cwd: module, env, encoding: 'utf8' }).trim();
}

function goVersion(): string | undefined {
  try {
    return go(['env', 'GOVERSION']);
  } catch {
    return undefined;
  }
}

async function compile(): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'butane-wasm-'));
  try {
    const output = join(folder, 'butane.wasm');
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags', '-s -w -buildid='];
    go(['build', ...flags, '-o', output, '.'], { GOOS: 'js', GOARCH: 'wasm', GOWASM: '', CGO_ENABLED: '0' });
    return await readFile(output);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function manifestOf(wasm: Buffer): Manifest {
  const version = (path: string) => go(['list', '-m', '-f', '{{.Version}}', path]);
  return {
    go: go(['env', 'GOVERSION']),
    butane: version('github.com/coreos/butane'),
    ignition: version('github.com/coreos/ignition/v2'),
    size: wasm.length,
    sha256: sha256(wasm),
  };
}

/** Go's own file, unchanged between a first and a last line: as a function's body it leaves the real globals alone. */
async function wrappedGlue(): Promise<string> {
  const source = await readFile(join(go(['env', 'GOROOT']), 'lib/wasm/wasm_exec.js'), 'utf8');
  return [
    "// Go's lib/wasm/wasm_exec.js, wrapped by scripts/build-butane.ts: its globals are the arguments.",
    `export function loadGo(globalThis, fs, console, setTimeout) {\n${source.trimEnd()}\nreturn globalThis.Go;\n}\n`,
  ].join('\n');
}

function compress(wasm: Buffer): Buffer {
  return brotliCompressSync(wasm, {
    params: {
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_DEFAULT_WINDOW,
      [constants.BROTLI_PARAM_SIZE_HINT]: wasm.length,
    },
  });
}

const manifestText = (manifest: Manifest) => `${JSON.stringify(manifest, null, 2)}\n`;

async function write(): Promise<void> {
  const wasm = await compile();
  await mkdir(join(root, 'dist'), { recursive: true });
  await writeFile(glue, await wrappedGlue());
  await writeFile(manifestFile, manifestText(manifestOf(wasm)));
  await writeFile(compressed, compress(wasm));
}

/** What differs from the committed files, one sentence each. */
async function differences(): Promise<string[]> {
  const committed = await readFile(manifestFile, 'utf8');
  const manifest = JSON.parse(committed) as Manifest;
  const shipped = brotliDecompressSync(await readFile(compressed));
  const found: string[] = [];
  if (sha256(shipped) !== manifest.sha256) found.push("dist/butane.wasm.br isn't what wasm/butane/manifest.json says");
  const installed = goVersion();
  if (installed !== manifest.go) {
    console.log(`butane: not rebuilt, because ${manifest.go} isn't installed (found ${installed ?? 'no Go'})`);
    return found;
  }
  const wasm = await compile();
  if (!wasm.equals(shipped)) found.push("dist/butane.wasm.br isn't what wasm/butane gives");
  if (manifestText(manifestOf(wasm)) !== committed)
    found.push("wasm/butane/manifest.json isn't what wasm/butane gives");
  if ((await readFile(glue, 'utf8')) !== (await wrappedGlue())) found.push("wasm/butane/wasm_exec.js isn't Go's");
  return found;
}

if (process.argv.includes('--check')) {
  const found = await differences();
  for (const difference of found) console.error(`${difference} (run \`node scripts/build-butane.ts\`)`);
  if (found.length > 0) process.exitCode = 1;
} else await write();
