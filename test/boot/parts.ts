/**
 * The parts of the boot laboratory, made once and kept in the user's cache folder: packages of Debian, unpacked without
 * being installed, and Ignition, built from its Go module.
 */
import { access, cp, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { sha256 } from '../../src/io/hash.ts';
import { run } from './run.ts';

const IGNITION = 'github.com/coreos/ignition/v2';
const IGNITION_VERSION = 'v2.26.0';
/** Without SELinux labels: the laboratory's root has no policy. */
const LINKER_FLAGS = [
  '-s -w',
  `-X ${IGNITION}/internal/version.Raw=${IGNITION_VERSION}`,
  `-X ${IGNITION}/internal/distro.selinuxRelabel=false`,
].join(' ');
/** Depends on the kernel package of the day. */
const KERNEL = 'linux-image-cloud-amd64';
const PACKAGES = ['busybox-static', 'isolinux', 'syslinux-common', 'grub-efi-amd64-bin', 'passwd'];

/** What the laboratory is made with; `describeWithPeers` takes it. */
export const LAB_TOOLS = [
  ...['apt-get', 'apt-cache', 'dpkg', 'go', 'ldd', 'cpio', 'gzip'],
  ...['genisoimage', 'isohybrid', 'mformat', 'mmd', 'mcopy', 'qemu-system-x86_64'],
];

/** The parts can't be had on this machine: no network, no package lists. */
export class PartsUnavailable extends Error {
  override name = 'PartsUnavailable';
}

export interface Parts {
  /** A folder that outlives the test run. */
  readonly cache: string;
  /** The packages, unpacked over each other. */
  readonly root: string;
  readonly kernel: string;
  readonly modules: string;
  readonly ignition: string;
}

/** Finds the parts in the cache, or makes them. @throws PartsUnavailable */
export async function labParts(): Promise<Parts> {
  // Lists that are missing or older than the archive can be renewed by root only.
  const attempt = findOrMake();
  if (process.getuid?.() !== 0) return attempt;
  return attempt.catch(async (error: unknown) => {
    if (!(error instanceof PartsUnavailable)) throw error;
    await run('apt-get', ['update']).catch(unavailable('apt-get update fails'));
    return findOrMake();
  });
}

async function findOrMake(): Promise<Parts> {
  const versions = await packageVersions();
  const key = sha256(JSON.stringify([[...versions], LINKER_FLAGS])).slice(0, 16);
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'build-iso-boot-lab');
  const folder = join(cache, key);
  if (!(await exists(folder))) await makeParts(folder, [...versions.keys()]);
  const root = join(folder, 'root');
  const [release = ''] = await readdir(join(root, 'lib', 'modules'));
  return {
    cache: folder,
    root,
    kernel: join(root, 'boot', `vmlinuz-${release}`),
    modules: join(root, 'lib', 'modules', release),
    ignition: join(folder, 'ignition'),
  };
}

async function packageVersions(): Promise<Map<string, string>> {
  const dependencies = await run('apt-cache', ['depends', KERNEL]).catch(unavailable('apt has no package lists'));
  const [, kernel] = /Depends: (linux-image-\S+)/.exec(dependencies) ?? [];
  if (kernel === undefined) throw new PartsUnavailable(`apt doesn't know ${KERNEL}: run apt-get update`);
  const names = [kernel, ...PACKAGES];
  const shown = await run('apt-cache', ['show', '--no-all-versions', ...names]).catch(
    unavailable('a package is missing'),
  );
  const found = [...shown.matchAll(/^Package: (\S+)$[\s\S]*?^Version: (\S+)$/gm)];
  return new Map(names.map((name) => [name, found.find((match) => match[1] === name)?.[2] ?? '']));
}

/** Everything is made beside the target and gets its name when it is complete, so that two test runs don't disturb each other. */
async function makeParts(folder: string, packages: readonly string[]): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const work = await mkdtemp(join(dirname(folder), `.${basename(folder)}-`));
  try {
    await Promise.all([unpack(work, packages), buildIgnition(work)]);
    await copyLibraries(work);
    await rename(work, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function unpack(work: string, packages: readonly string[]): Promise<void> {
  const downloads = join(work, 'packages');
  await mkdir(downloads);
  await run('apt-get', ['download', ...packages], { cwd: downloads }).catch(
    unavailable('the packages can not be fetched'),
  );
  for (const file of await readdir(downloads)) await run('dpkg', ['-x', join(downloads, file), join(work, 'root')]);
  await rm(downloads, { recursive: true });
}

/** The command is in an internal package, so it is built as a dependency of a module of its own. */
async function buildIgnition(work: string): Promise<void> {
  const cwd = join(work, 'module');
  await mkdir(cwd);
  await writeFile(join(cwd, 'go.mod'), 'module lab\n\ngo 1.24\n');
  const command = `${IGNITION}/internal`;
  await run('go', ['get', `${command}@${IGNITION_VERSION}`], { cwd }).catch(
    unavailable('the Go module can not be fetched'),
  );
  await run('go', ['build', '-trimpath', '-ldflags', LINKER_FLAGS, '-o', join(work, 'ignition'), command], { cwd });
  await rm(cwd, { recursive: true });
}

/** The shared libraries of the dynamic programs, each where its program looks for it. */
async function copyLibraries(work: string): Promise<void> {
  const programs = [join(work, 'ignition'), join(work, 'root', 'usr/sbin/useradd')];
  for (const program of programs) {
    for (const [, library = ''] of (await run('ldd', [program])).matchAll(/(?:=> |^\s+)(\/\S+) \(/gm)) {
      const target = join(work, 'root', library);
      await mkdir(dirname(target), { recursive: true });
      await cp(library, target, { dereference: true });
    }
  }
}

function unavailable(what: string): (cause: unknown) => never {
  return (cause) => {
    throw new PartsUnavailable(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
