/**
 * Bundles `dist/`: one entry per command for the actions, `cli.js`, and the chunks that they share.
 *
 *     node scripts/build.ts [output folder]
 */
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { rolldown } from 'rolldown';
import { commands } from '../src/commands/index.ts';

const root = resolve(import.meta.dirname, '..');
const entryPrefix = 'entry:';

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
    input: Object.fromEntries(names.map((name) => [name, entryPrefix + name])),
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
    ],
  });
  await mkdir(outputFolder, { recursive: true });
  // The WebAssembly modules are built by their own scripts and stay.
  for (const file of await readdir(outputFolder)) {
    if (file.endsWith('.js')) await rm(join(outputFolder, file));
  }
  await bundle.write({
    dir: outputFolder,
    format: 'esm',
    minify: true,
    banner: (chunk) => (chunk.name === 'cli' && chunk.isEntry ? '#!/usr/bin/env node' : ''),
    entryFileNames: '[name].js',
    chunkFileNames: 'shared-[name]-[hash].js',
  });
  await chmod(join(outputFolder, 'cli.js'), 0o755);
}

if (import.meta.main) await build(resolve(process.argv[2] ?? join(root, 'dist')));
