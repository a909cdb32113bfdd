/** Types, lint, generated files and the freshness of `dist/`: everything that can be wrong without running a test. */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from './build.ts';

const root = resolve(import.meta.dirname, '..');

/** What `dist/` may weigh without its WebAssembly, in bytes: every job of every user downloads it. */
const DIST_LIMIT = 3_000_000;

function run(title: string, argv: readonly string[]): boolean {
  console.log(`check: ${title}`);
  const [program = '', ...args] = argv;
  return spawnSync(program, args, { cwd: root, stdio: 'inherit' }).status === 0;
}

/** Bundles into a temporary folder, compares with the committed files byte for byte, and weighs them. */
async function distIsFresh(): Promise<boolean> {
  console.log('check: dist');
  const folder = await mkdtemp(join(tmpdir(), 'k4all-dist-'));
  try {
    await build(folder);
    const [expected, committed] = await Promise.all([builtFiles(folder), builtFiles(join(root, 'dist'))]);
    const stale = [...new Set([...expected.keys(), ...committed.keys()])].filter(
      (name) => !committed.get(name)?.equals(expected.get(name) ?? Buffer.alloc(0)),
    );
    for (const name of stale) console.error(`dist/${name} isn't what the sources give (run \`npm run build\`)`);
    const size = [...expected.values()].reduce((sum, { length }) => sum + length, 0);
    if (size > DIST_LIMIT) console.error(`dist/ has ${size} bytes without its WebAssembly; the limit is ${DIST_LIMIT}`);
    return stale.length === 0 && size <= DIST_LIMIT;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function builtFiles(folder: string): Promise<Map<string, Buffer>> {
  const names = (await readdir(folder)).filter((name) => /\.(js|txt)$/.test(name));
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)));
}

const results = [
  run('types', ['tsc', '--pretty', 'false']),
  run('lint and format', ['biome', 'ci', '--error-on-warnings']),
  run('generated files', ['node', 'scripts/generate.ts', '--check']),
  await distIsFresh(),
  run('Butane in WebAssembly', ['node', 'scripts/build-butane.ts', '--check']),
  run('codecs in WebAssembly', ['node', 'scripts/build-codecs.ts', '--check']),
];
if (results.includes(false)) process.exitCode = 1;
