/**
 * Bundles `dist/`: one entry per command for the actions, `cli.js`, the program of its threads, and the chunks that
 * they share.
 *
 *     node scripts/build.ts [output folder]
 */
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { commands } from '../src/commands/index.ts';

const root = resolve(import.meta.dirname, '..');
const entryPrefix = 'entry:';

/** Parts of packages that nothing here calls, and that only their package's index keeps in the bundle: 0.4 MB. */
const unusedParts = [
  /[\\/]undici[\\/]lib[\\/](mock|cache|interceptor|web[\\/](websocket|eventsource|cookies))[\\/]/,
  /[\\/]@actions[\\/]artifact[\\/]lib[\\/]internal[\\/](download|find|delete)[\\/]/,
];

/** The source of an entry: two statements, so that it isn't worth a file. */
function entrySource(name: string): string {
  if (name === 'cli')
    return `import { main } from '${root}/src/cli.ts';\nprocess.exitCode = await main(process.argv.slice(2));`;
  return [
    `import { runAction } from '${root}/src/action.ts';`,
    `import { command } from '${root}/src/commands/${name}.ts';`,
    'await runAction(command);',
  ].join('\n');
}

export async function build(outputFolder: string): Promise<void> {
  const names = ['cli', ...Object.keys(commands)];
  const bundle = await rolldown({
    input: {
      ...Object.fromEntries(names.map((name) => [name, entryPrefix + name])),
      thread: join(root, 'src/thread.ts'),
    },
    cwd: root,
    platform: 'node',
    transform: { target: 'node22.12' },
    // An action that asks for no token of its own needn't load the HTTP client behind `getIDToken`: 60 ms at every start.
    treeshake: { moduleSideEffects: [{ test: /@actions[\\/](core|http-client)[\\/]/, sideEffects: false }] },
    onLog(level, log) {
      // Circular and re-export notes of dependencies say nothing about this project.
      if (level === 'warn' && !log.id?.includes('node_modules')) console.warn(log.message);
    },
    plugins: [
      {
        name: 'entries',
        resolveId: (id) => (id.startsWith(entryPrefix) ? join(root, `${id.replace(':', '-')}.ts`) : null),
        load: (id) => {
          const [, name] = /[/\\]entry-([a-z-]+)\.ts$/.exec(id) ?? [];
          return name ? entrySource(name) : null;
        },
      },
      {
        name: 'unused-parts',
        load: (id) => (unusedParts.some((part) => part.test(id)) ? 'module.exports = {};' : null),
      },
      {
        // The package is Node's own streams for those that don't run on Node.
        name: 'own-streams',
        load: (id) => {
          const [, part] = /[/\\]readable-stream[/\\](passthrough|lib[/\\]ours[/\\]index)\.js$/.exec(id) ?? [];
          return part && `module.exports = require('node:stream')${part === 'passthrough' ? '.PassThrough' : ''};`;
        },
      },
    ],
  });
  await mkdir(outputFolder, { recursive: true });
  // The WebAssembly modules are built by their own scripts and stay.
  for (const file of await readdir(outputFolder)) {
    if (file.endsWith('.js')) await rm(join(outputFolder, file));
  }
  const { output } = await bundle.write({
    dir: outputFolder,
    format: 'esm',
    minify: true,
    banner: (chunk) => (chunk.name === 'cli' && chunk.isEntry ? '#!/usr/bin/env node' : ''),
    entryFileNames: '[name].js',
    chunkFileNames: 'shared-[name]-[hash].js',
  });
  await chmod(join(outputFolder, 'cli.js'), 0o755);
  const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
  await writeFile(join(outputFolder, 'licenses.txt'), await licenseTexts(modules));
}

/** The licence texts of all packages that went into the bundle, most of which ask for that; each text once. */
async function licenseTexts(modules: readonly string[]): Promise<string> {
  const folders = new Set(modules.flatMap((id) => /^.*[/\\]node_modules[/\\](?:@[^/\\]+[/\\])?[^/\\]+/.exec(id) ?? []));
  const packages = new Map<string, { text: string; names: Set<string> }>();
  for (const folder of folders) {
    const { name, version, license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    const file = (await readdir(folder)).find((entry) => /^(licen[cs]e|copying)(\.|$|-mit)/i.test(entry));
    const text = file === undefined ? '' : await readFile(join(folder, file), 'utf8');
    const words = text.split(/\s+/).join(' ');
    const known = packages.get(words) ?? { text: text.trim().replaceAll('\r\n', '\n'), names: new Set() };
    packages.set(words, known);
    known.names.add(`${name} ${version} (${license})`);
  }
  const parts = [...packages.values()]
    .map(({ text, names }) => `${[...names].sort().join('\n')}\n\n${text}`.trim())
    .sort();
  return `${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

if (import.meta.main) await build(resolve(process.argv[2] ?? join(root, 'dist')));
