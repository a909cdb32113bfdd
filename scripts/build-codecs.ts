/**
 * Builds `dist/codecs.wasm.br`: libdeflate, liblzma, Zstandard and zlib for WebAssembly, so that compressed bytes don't depend on the
 * machine or on Node's own copies of these libraries.
 *
 *     node scripts/build-codecs.ts           writes the module and its manifest
 *     node scripts/build-codecs.ts --check   builds again and compares with the committed module
 *
 * Needs cargo (which fetches the pinned sources and checks their digests), clang, lld and wasi-libc.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, constants } from 'node:zlib';
import { Codecs } from '../src/archive/codecs.ts';
import { sha256 } from '../src/io/hash.ts';

const root = resolve(import.meta.dirname, '..');
const sources = join(root, 'wasm/codecs');
const modulePath = join(root, 'dist/codecs.wasm.br');
const manifestPath = join(sources, 'manifest.json');

interface Library {
  readonly crate: string;
  readonly files: readonly string[];
  readonly except?: RegExp;
  readonly flags: (folder: string) => readonly string[];
}

const include = (folder: string, ...paths: string[]) => paths.map((path) => `-I${join(folder, path)}`);

const libraries: readonly Library[] = [
  {
    crate: 'libdeflate-sys',
    files: ['deflate_compress', 'utils'].map((file) => `libdeflate/lib/${file}.c`),
    flags: (folder) => include(folder, 'libdeflate'),
  },
  {
    crate: 'liblzma-sys',
    files: ['check', 'common', 'delta', 'lz', 'lzma', 'rangecoder', 'simple'].map(
      (part) => `xz/src/liblzma/${part}/*.c`,
    ),
    except: /(_mt|_small|tablegen|_consts_gen|outqueue|hardware_\w+)\.c$/,
    flags: (folder) => [
      '-DHAVE_CONFIG_H=1',
      ...include(folder, '.', 'xz/src/common'),
      ...include(
        join(folder, 'xz/src/liblzma'),
        'api',
        'check',
        'common',
        'delta',
        'lz',
        'lzma',
        'rangecoder',
        'simple',
      ),
    ],
  },
  {
    crate: 'zstd-sys',
    files: ['common', 'compress', 'decompress'].map((part) => `zstd/lib/${part}/*.c`),
    except: /(xxhash|zstdmt_compress)\.c$/,
    flags: (folder) => [
      '-DZSTD_DISABLE_ASM',
      '-DXXH_PRIVATE_API',
      '-DZSTD_LEGACY_SUPPORT=0',
      ...include(folder, 'zstd/lib'),
    ],
  },
  {
    crate: 'libz-sys',
    files: ['src/zlib/*.c'],
    except: /gz(close|lib|read|write)\.c$/,
    flags: (folder) => include(folder, 'src/zlib'),
  },
];

const compilerFlags = [
  '--target=wasm32-wasi',
  '-O3',
  '-DNDEBUG',
  '-std=gnu11',
  '-fvisibility=hidden',
  '-ffunction-sections',
  '-fdata-sections',
  '-w',
];
const linkerFlags = [
  '--target=wasm32-wasi',
  '-nostartfiles',
  '-Wl,--no-entry',
  '-Wl,--gc-sections',
  '-Wl,--strip-all',
  '-Wl,--stack-first',
  '-Wl,-z,stack-size=1048576',
  '-Wl,--max-memory=2147483648',
];

function run(program: string, args: readonly string[]): string {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr}`);
  return stdout;
}

interface Package {
  readonly name: string;
  readonly version: string;
  readonly manifest_path: string;
}

/** Fetches the crates that Cargo.lock pins; cargo refuses what doesn't have the digest there. */
function fetchPackages(): Package[] {
  const args = ['metadata', '--locked', '--format-version', '1', '--manifest-path', join(sources, 'Cargo.toml')];
  const { packages } = JSON.parse(run('cargo', args)) as { packages: Package[] };
  return packages;
}

function packageOf(packages: readonly Package[], name: string): Package {
  const found = packages.find((candidate) => candidate.name === name);
  if (!found) throw new Error(`wasm/codecs/Cargo.lock has no ${name}`);
  return found;
}

function compile(source: string, object: string, flags: readonly string[]): string {
  run('clang', [...compilerFlags, ...flags, '-c', source, '-o', object]);
  return object;
}

function compileLibrary(library: Library, folder: string, scratch: string): string[] {
  return globSync([...library.files], { cwd: folder })
    .filter((file) => !library.except?.test(file))
    .sort()
    .map((file, index) => {
      const object = join(scratch, `${library.crate}-${index}.o`);
      return compile(join(folder, file), object, [...library.flags(folder), `-ffile-prefix-map=${folder}=.`]);
    });
}

/** Compiles and links everything; the result has no imports, so that nothing of the host can leak into it. */
async function buildModule(packages: readonly Package[]): Promise<Buffer> {
  const scratch = await mkdtemp(join(tmpdir(), 'k4all-codecs-'));
  try {
    const folders = libraries.map(({ crate }) => dirname(packageOf(packages, crate).manifest_path));
    const headers = libraries.flatMap((library, index) => library.flags(folders[index] ?? ''));
    const objects = libraries.flatMap((library, index) => compileLibrary(library, folders[index] ?? '', scratch));
    const shim = compile(join(sources, 'codecs.c'), join(scratch, 'codecs.o'), [...headers, '-I', 'zstd/lib']);
    const output = join(scratch, 'codecs.wasm');
    run('clang', [...linkerFlags, shim, ...objects, '-o', output]);
    const bytes = await readFile(output);
    // Fails if the module imports anything.
    new Codecs(bytes);
    return bytes;
  } finally {
    await rm(scratch, { recursive: true });
  }
}

/** What the module was made of, for people and for `--check`. */
async function manifest(packages: readonly Package[], wasm: Buffer): Promise<string> {
  const lock = await readFile(join(sources, 'Cargo.lock'), 'utf8');
  const crates = libraries.map(({ crate }) => {
    const [, checksum] = new RegExp(`name = "${crate}"\\n[^[]*checksum = "(\\w+)"`).exec(lock) ?? [];
    return { crate, version: packageOf(packages, crate).version, sha256: checksum };
  });
  const [compiler] = run('clang', ['--version']).split('\n');
  return `${JSON.stringify({ crates, compiler, size: wasm.length, sha256: sha256(wasm) }, null, 2)}\n`;
}

async function check(wasm: Buffer): Promise<void> {
  const committed = brotliDecompressSync(await readFile(modulePath));
  if (!committed.equals(wasm)) {
    throw new Error(`dist/codecs.wasm.br isn't what the sources and this compiler give (see ${manifestPath})`);
  }
  console.log('dist/codecs.wasm.br is what the sources give');
}

async function write(packages: readonly Package[], wasm: Buffer): Promise<void> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 };
  const compressed = brotliCompressSync(wasm, { params });
  await mkdir(dirname(modulePath), { recursive: true });
  await writeFile(modulePath, compressed);
  await writeFile(manifestPath, await manifest(packages, wasm));
  console.log(`dist/codecs.wasm.br: ${wasm.length} bytes, compressed ${compressed.length}`);
}

const packages = fetchPackages();
const wasm = await buildModule(packages);
if (process.argv.includes('--check')) await check(wasm);
else await write(packages, wasm);
