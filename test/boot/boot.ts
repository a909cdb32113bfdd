import { createHash } from 'node:crypto';
import { access, mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { type BootTestOptions, type BootTestResult, bootTest } from '../../src/boot/index.ts';
import { makeLabIso } from './lab.ts';
import { labParts, PartsUnavailable } from './parts.ts';

/** Emulated machines on a busy host are slow; a boot takes a few seconds on an idle one. */
const BOOT_TIMEOUT = 150;

/**
 * The laboratory's ISO, made once for this version of its sources. Undefined where its parts can't be had and nobody
 * insists (`REQUIRE_PEERS`).
 */
export async function labIso(): Promise<string | undefined> {
  try {
    const parts = await labParts();
    const sources = await Promise.all(['lab.ts', 'init.sh'].map((name) => readFile(join(import.meta.dirname, name))));
    const key = createHash('sha256').update(Buffer.concat(sources)).digest('hex').slice(0, 16);
    const path = join(parts.cache, `lab-${key}.iso`);
    const made = await access(path).then(
      () => true,
      () => false,
    );
    if (made) return path;
    const partial = join(parts.cache, `lab-${key}-${process.pid}.partial`);
    await makeLabIso(partial, parts);
    await rename(partial, path);
    return path;
  } catch (error) {
    if (error instanceof PartsUnavailable && !process.env.REQUIRE_PEERS) {
      console.warn(`the boot laboratory can't be made here: ${error.message}`);
      return undefined;
    }
    throw error;
  }
}

/** What the machine told about itself. */
export interface LabReport extends BootTestResult {
  readonly cmdline: string;
  /** SHA-256 of the config that Ignition was given, and where it lay. */
  readonly config: string;
  /** Path → what lies there; directories not included. */
  readonly files: ReadonlyMap<string, LabFile>;
  /** Lines that enable and disable units, sorted: their order says nothing as long as each names another unit. */
  readonly presets: readonly string[];
  /** SHA-256 of the config that was written to the blank disk. */
  readonly installed: string | undefined;
  readonly log: string;
}

export interface LabFile {
  /** Octal, as in `644`. */
  readonly mode: string;
  /** `uid:gid`. */
  readonly owner: string;
  readonly sha256: string;
}

/** Boots an image of the laboratory until it is done. */
export async function bootLab(options: Omit<BootTestOptions, 'accelerator'>): Promise<LabReport> {
  await mkdir(options.outputDir, { recursive: true });
  const result = await bootTest({
    expect: /^lab: done$/m,
    timeout: BOOT_TIMEOUT,
    memory: 512,
    ...options,
    // Hardware acceleration is not to be had everywhere, and hangs on some machines that offer it.
    accelerator: 'tcg',
  });
  const log = await readFile(result.serialLog, 'utf8');
  const told = (what: string) => new RegExp(`^lab: ${what} (.*)$`, 'm').exec(log)?.[1];
  const files = [...log.matchAll(/^lab: file (\d+) (\d+:\d+) ([0-9a-f]{64}) (.*)$/gm)];
  return {
    ...result,
    log,
    cmdline: told('cmdline') ?? '',
    config: told('config') ?? '',
    installed: told('installed'),
    presets: [...log.matchAll(/^lab: preset (.*)$/gm)].map(([, line = '']) => line).sort(),
    files: new Map(
      files.map(([, mode = '', owner = '', sha256 = '', path = '']) => [path, { mode, owner, sha256 }] as const),
    ),
  };
}
