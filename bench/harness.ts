import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** The bundle that is measured. */
export const dist = resolve(import.meta.dirname, '../dist');

/** A program with its arguments. */
export type Argv = readonly [string, ...string[]];

/** One way of doing the work: programs that run one after the other, measured together. */
export interface Contender {
  readonly name: string;
  /** The programs; `folder` is empty at the start of every run. */
  readonly steps: (folder: string) => readonly Argv[];
  /** Runs before the measured steps, unmeasured. */
  readonly prepare?: (folder: string) => Promise<void>;
  /** Programs without which it is skipped. */
  readonly needs?: readonly string[];
  /** Its last line on stdout is the wall time in seconds, to be taken in place of the process's. */
  readonly timesItself?: boolean;
}

/** A piece of work, ours first, then what a user would otherwise run. */
export interface Bench {
  readonly title: string;
  /** What is said about the ratios, such as `≤ 0.5 of qemu-img`. */
  readonly reach: string;
  readonly contenders: readonly Contender[];
  /** What follows from the figures, one line each. */
  readonly conclusions?: (median: (contender: string) => Cost) => readonly string[];
}

/** What one run took: seconds, bytes. */
export interface Cost {
  readonly wall: number;
  readonly cpu: number;
  readonly peakMemory: number;
  readonly written: number;
}

export interface ContenderResult {
  readonly name: string;
  readonly median: Cost;
  /** Fastest and slowest wall time. */
  readonly spread: readonly [number, number];
  /** Median of the wall times, ours divided by this one's, round by round. */
  readonly ratio: number;
}

/** Runs all contenders alternately, `rounds` times after one uncounted round, and checks that every step succeeds. */
export async function measure(bench: Bench, rounds: number): Promise<ContenderResult[]> {
  const costs = bench.contenders.map((): Cost[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, contender] of bench.contenders.entries()) {
      const cost = await runOnce(contender);
      if (round > 0) costs[index]?.push(cost);
    }
  }
  const ours = costs[0] ?? [];
  return bench.contenders.map(({ name }, index) => {
    const own = costs[index] ?? [];
    const walls = own.map(({ wall }) => wall);
    return {
      name,
      median: {
        wall: median(walls),
        cpu: median(own.map(({ cpu }) => cpu)),
        peakMemory: median(own.map(({ peakMemory }) => peakMemory)),
        written: median(own.map(({ written }) => written)),
      },
      spread: [Math.min(...walls), Math.max(...walls)],
      ratio: median(own.map(({ wall }, round) => (ours[round]?.wall ?? Number.NaN) / wall)),
    };
  });
}

async function runOnce({ name, steps, prepare, timesItself = false }: Contender): Promise<Cost> {
  const folder = await mkdtemp(join(benchFolder(), 'k4all-bench-'));
  try {
    await prepare?.(folder);
    let total: Cost = { wall: 0, cpu: 0, peakMemory: 0, written: 0 };
    for (const argv of steps(folder)) {
      const cost = await runStep(name, argv, { folder, timesItself });
      total = {
        wall: total.wall + cost.wall,
        cpu: total.cpu + cost.cpu,
        peakMemory: Math.max(total.peakMemory, cost.peakMemory),
        written: total.written + cost.written,
      };
    }
    return total;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** GNU time tells what the kernel accounted: seconds, KiB, blocks of 512 bytes. */
async function runStep(
  name: string,
  argv: Argv,
  { folder, timesItself }: { folder: string; timesItself: boolean },
): Promise<Cost> {
  const report = join(benchFolder(), `k4all-bench-${process.pid}.time`);
  const started = process.hrtime.bigint();
  const timed = ['--quiet', '--format', '%U %S %M %O', '--output', report, ...argv];
  const child = spawn('/usr/bin/time', timed, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout = (stdout + chunk).slice(-1000);
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((done, failed) => child.on('error', failed).on('close', done));
  const wall = Number(process.hrtime.bigint() - started) / 1e9;
  if (code !== 0) throw new Error(`${name}: ${argv.join(' ')} ended with ${code}:\n${stderr}`);
  const [user = 0, system = 0, kib = 0, blocks = 0] = (await readFile(report, 'utf8')).trim().split(' ').map(Number);
  await rm(report);
  const told = timesItself ? Number(stdout.trim().split('\n').at(-1)) : wall;
  return { wall: told, cpu: user + system, peakMemory: kib * 1024, written: blocks * 512 };
}

/** Where the large files are: `BENCH_DIR`, else the folder for temporary files. */
export function benchFolder(): string {
  return process.env.BENCH_DIR ?? tmpdir();
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low = Number.NaN, high = Number.NaN] =
    sorted.length % 2 === 1 ? [sorted[middle], sorted[middle]] : sorted.slice(middle - 1);
  return (low + high) / 2;
}
