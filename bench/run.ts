/**
 * Measures this project beside what a user would otherwise run, and prints tables; `--json FILE` writes the figures.
 *
 *     npm run bench -- [--rounds N] [--size 1G] [--json FILE] [name …]
 */
import { access, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { renderTable } from '../src/commands/outputs.ts';
import { formatSize, parseSize } from '../src/io/sizes.ts';
import { type Bench, type ContenderResult, type Cost, measure } from './harness.ts';

/** What a bench is made with; sizes in bytes. */
export interface BenchOptions {
  readonly size: number;
}

const benches: Readonly<Record<string, () => Promise<{ bench: (options: BenchOptions) => Promise<Bench[]> }>>> = {
  build: () => import('./build.ts'),
  butane: () => import('./butane.ts'),
  disk: () => import('./disk.ts'),
  embed: () => import('./embed.ts'),
  container: () => import('./container.ts'),
  fetch: () => import('./fetch.ts'),
  start: () => import('./start.ts'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    size: { type: 'string', default: '1G' },
    json: { type: 'string' },
  },
});
const names = positionals.length > 0 ? positionals : Object.keys(benches);
const results: Record<string, readonly ContenderResult[]> = {};
for (const name of names) {
  const load = benches[name];
  if (!load) throw new Error(`there is no bench "${name}"; there are ${Object.keys(benches).join(', ')}`);
  for (const bench of await (await load()).bench({ size: parseSize(values.size) })) {
    const available = await withoutMissing(bench);
    console.log(`\n## ${bench.title} (${bench.reach})\n`);
    const rows = await measure(available, Number(values.rounds));
    results[bench.title] = rows;
    console.log(table(rows));
    const conclusions = bench.conclusions?.((name) => medianOf(rows, name)) ?? [];
    if (conclusions.length > 0) console.log(`\n${conclusions.join('\n')}`);
  }
}
if (values.json) await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`);

function medianOf(rows: readonly ContenderResult[], name: string): Cost {
  const row = rows.find((one) => one.name === name);
  if (!row) throw new Error(`there is no contender "${name}"`);
  return row.median;
}

function table(rows: readonly ContenderResult[]): string {
  const head = ['', 'wall s', 'min–max', 'CPU s', 'peak memory', 'written', 'ours / this'];
  const body = rows.map(({ name, median, spread, ratio }) => [
    name,
    median.wall.toFixed(2),
    spread.map((seconds) => seconds.toFixed(2)).join('–'),
    median.cpu.toFixed(2),
    formatSize(median.peakMemory),
    formatSize(median.written),
    ratio.toFixed(2),
  ]);
  return renderTable([head, ...body]);
}

/** A bench without the contenders whose programs aren't installed; each is named. */
async function withoutMissing(bench: Bench): Promise<Bench> {
  const contenders = [];
  for (const contender of bench.contenders) {
    const missing = [];
    for (const program of contender.needs ?? []) if (!(await installed(program))) missing.push(program);
    if (missing.length === 0) contenders.push(contender);
    else console.log(`skipped: ${contender.name} (${missing.join(', ')} is not installed)`);
  }
  return { ...bench, contenders };
}

async function installed(program: string): Promise<boolean> {
  const found = (process.env.PATH ?? '').split(delimiter).map((folder) => access(join(folder, program)));
  return (await Promise.allSettled(found)).some(({ status }) => status === 'fulfilled');
}
