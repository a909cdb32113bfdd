/**
 * Builds `dist/butane.wasm.br` from the Go module in `wasm/butane`, with what belongs to it: Go's `wasm_exec.js` in a
 * wrapper and the manifest that names versions and digest. The same Go gives the same bytes on every machine.
 *
 *     node scripts/build-butane.ts            half a minute, most of it compression
 *     node scripts/build-butane.ts --check    rebuilds, compares with what is committed, and writes nothing;
 *                                             skipped where the Go of the manifest isn't installed
 */
import { execFileSync } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
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

/**
 * A line of a dependency that is replaced while building: `Escape` formats each byte of a file through Go's `fmt`, which
 * takes a quarter of all the time. The result is the same.
 */
const patch = {
  module: 'github.com/vincent-petithory/dataurl',
  file: 'rfc2396.go',
  line: 'fmt.Fprintf(buf, "%%%02X", b)',
  replacement: `buf.WriteByte('%'); buf.WriteByte("0123456789ABCDEF"[b>>4]); buf.WriteByte("0123456789ABCDEF"[b&15])`,
};

function go(args: readonly string[], environment: Record<string, string> = {}, cwd = module): string {
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', ...environment };
  return execFileSync('go', args, { cwd, env, encoding: 'utf8' }).trim();
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
    await cp(module, folder, { recursive: true });
    await patchDependency(folder);
    const flags = ['-trimpath', '-buildvcs=false', '-ldflags', '-s -w -buildid='];
    const environment = { GOOS: 'js', GOARCH: 'wasm', GOWASM: '', CGO_ENABLED: '0' };
    go(['build', ...flags, '-o', 'butane.wasm', '.'], environment, folder);
    return await readFile(join(folder, 'butane.wasm'));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Puts a patched copy of the dependency into a copy of our module. */
async function patchDependency(folder: string): Promise<void> {
  const original = go(['list', '-m', '-f', '{{.Dir}}', patch.module]);
  const copy = join(folder, 'patched');
  await mkdir(copy);
  for (const file of await readdir(original)) {
    if (!file.endsWith('.go') || file.endsWith('_test.go')) continue;
    await writeFile(join(copy, file), await readFile(join(original, file)));
  }
  const parts = (await readFile(join(copy, patch.file), 'utf8')).split(patch.line);
  if (parts.length !== 2) throw new Error(`${patch.module} has ${parts.length - 1} times the line ${patch.line}`);
  await writeFile(join(copy, patch.file), parts.join(patch.replacement));
  await writeFile(join(copy, 'go.mod'), `module ${patch.module}\n`);
  await appendFile(join(folder, 'go.mod'), `\nreplace ${patch.module} => ./patched\n`);
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
