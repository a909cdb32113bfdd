/** What an action that does little costs before it does anything, and what every job downloads. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatSize } from '../src/io/sizes.ts';
import { type Bench, dist } from './harness.ts';

const NOTHING = 'node -e 0';

export async function bench(): Promise<Bench[]> {
  const size = await distSize();
  return [
    {
      title: 'cold start of classify-version',
      reach: '≤ 80 ms above node -e 0; dist/ without WebAssembly ≤ 3 MB',
      contenders: [
        {
          name: 'classify-version',
          steps: () => [
            [process.execPath, join(dist, 'cli.js'), 'classify-version', '--ref', 'refs/tags/v1.2.3-beta.1'],
          ],
        },
        { name: NOTHING, steps: () => [[process.execPath, '-e', '0']] },
      ],
      conclusions: (median) => [
        `above ${NOTHING}: ${((median('classify-version').wall - median(NOTHING).wall) * 1000).toFixed(0)} ms`,
        `dist/ without WebAssembly: ${size} bytes (${formatSize(size)})`,
      ],
    },
  ];
}

async function distSize(): Promise<number> {
  const names = (await readdir(dist)).filter((name) => !/\.(br|wasm)$/.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(dist, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
