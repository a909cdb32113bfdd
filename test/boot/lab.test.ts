import { execFile } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sha256, sha256File } from '../../src/io/hash.ts';
import { runCli } from '../support/bundle.ts';
import { describeWithPeers, peer } from '../support/peers.ts';
import { bootLab, labIso } from './boot.ts';
import { expectedFiles, expectedPresets } from './expected-files.ts';
import { DEFAULT_ARGUMENTS } from './lab.ts';
import { LAB_TOOLS } from './parts.ts';

const ROLES = ['bootstrap', 'control', 'worker'] as const;
const CLUSTER = resolve(import.meta.dirname, '../../examples/cluster');
const TOOLS = [...LAB_TOOLS, 'debugfs'];
/** Making the parts compiles Ignition; a boot under emulation on a busy machine takes its time. */
const SLOW = 400_000;

const possible = TOOLS.every((tool) => peer(tool).available);
const base = possible ? await labIso() : undefined;
if (possible && base === undefined)
  describe.skip('boot laboratory (its parts can not be fetched)', () => laboratory(''));
else describeWithPeers('boot laboratory', TOOLS, () => laboratory(base ?? ''));

function laboratory(base: string): void {
  let folder = '';
  let boots = 0;
  const path = (name: string) => join(folder, name);
  const image = (role: string, format: string) => path(`out/k4all-${role}-v1.0.0-x86_64.${format}`);
  const boot = (options: Omit<Parameters<typeof bootLab>[0], 'outputDir'>) =>
    bootLab({ ...options, outputDir: path(`boot${boots++}`) });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-lab-test-'));
    await cp(CLUSTER, path('cluster'), { recursive: true });
    await k4all('build-iso', [
      ...['--workspace', path('cluster'), '--base-iso', base, '--output-dir', path('out')],
      ...['--version', 'v1.0.0', '--disk-size', '1G'],
      ...['--kernel-arguments', 'lab.list=a,b', '--kernel-arguments', 'lab.word="two words"'],
    ]);
  }, SLOW);

  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The role's config as `generate-ignition` compiles it outside of any image. */
  async function compiled(role: string): Promise<string> {
    const output = path(`compiled-${role}`);
    await k4all('generate-ignition', [
      ...['--files-dir', path('cluster'), '--output-dir', output, '--pretty'],
      ...['--butane', path('cluster/k8s-base.bu'), '--butane', `${path(`cluster/k8s-${role}.bu`)}=k8s.ign`],
      ...['--executable', 'scripts/**'],
    ]);
    return readFile(join(output, 'k8s.ign'), 'utf8');
  }

  describe('every format and attachment', () => {
    it.for([
      ['iso', 'cdrom', 'bios'],
      ['iso', 'cdrom', 'uefi'],
      ['iso', 'disk', 'bios'],
      ['iso', 'disk', 'uefi'],
      ['qcow2', 'disk', 'bios'],
      ['qcow2', 'disk', 'uefi'],
      ['vdi', 'disk', 'bios'],
      ['vdi', 'disk', 'uefi'],
      ['raw', 'disk', 'bios'],
    ] as const)('%s as %s with %s', { timeout: SLOW }, async ([format, attach, firmware]) => {
      const file = image('bootstrap', format);
      if (format === 'raw') {
        await cp(image('bootstrap', 'iso'), file);
        await truncate(file, 1024 ** 3);
      }
      const before = await sha256File(file);
      const report = await boot({ image: file, attach, firmware });
      expect(report).toMatchObject({ verdict: 'passed', reason: 'the console shows "lab: done"' });
      expect(report.log).toContain('Ignition finished successfully');
      expect(report.files.get('/usr/local/bin/install-node.sh')?.mode).toBe('755');
      expect(await sha256File(file), 'the image was written to').toBe(before);
      const png = await readFile(report.screenshot ?? '');
      expect(png.subarray(1, 4).toString()).toBe('PNG');
    });
  });

  describe.for(ROLES)('a k4all-shaped %s', (role) => {
    it('holds what the Butane files say, live and installed', { timeout: 2 * SLOW }, async () => {
      const carried = await compiled(role);
      const disk = { path: path(`${role}.img`), format: 'raw' } as const;
      await writeFile(disk.path, '');
      await truncate(disk.path, 8 * 1024 ** 2);

      const live = await boot({ image: image(role, 'iso'), attach: 'cdrom', disks: [disk] });
      expect(live.verdict, live.reason).toBe('passed');
      const argumentsAsked = 'coreos.liveiso.fromram lab.list=a,b lab.word="two words"';
      expect(live.cmdline.endsWith(`img ${DEFAULT_ARGUMENTS} ${argumentsAsked}`), live.cmdline).toBe(true);
      const expectedLive = await expectedFiles(path('cluster'), ['install.bu'], {
        executable: () => true,
        results: { 'k8s.ign': carried },
      });
      expect(Object.fromEntries(live.files)).toMatchObject(Object.fromEntries(expectedLive));

      expect(live.presets).toEqual(await expectedPresets(path('cluster'), ['install.bu']));

      // The installer's step: the config that the live one carries, on a disk that was blank, byte for byte.
      expect(live.installed).toBe(`${sha256(carried)} /dev/vda`);
      const dump = await promisify(execFile)('debugfs', ['-R', 'cat /ignition/config.ign', disk.path]);
      expect(dump.stdout).toBe(carried);

      const installed = await boot({ image: base, attach: 'cdrom', disks: [disk] });
      expect(installed.verdict, installed.reason).toBe('passed');
      expect(installed.config).toBe(`${sha256(carried)} /boot/ignition/config.ign`);
      const butaneFiles = ['k8s-base.bu', `k8s-${role}.bu`];
      const expectedNode = await expectedFiles(path('cluster'), butaneFiles, {
        executable: (file) => file.startsWith('scripts/'),
      });
      expect(Object.fromEntries(installed.files)).toMatchObject(Object.fromEntries(expectedNode));
      expect(installed.presets).toEqual(await expectedPresets(path('cluster'), butaneFiles));
      expect(installed.files.get('/etc/k8s-role')?.sha256).toBe(sha256(role));
    });
  });

  describe('what must fail', () => {
    async function embedded(name: string, args: readonly string[]): Promise<string> {
      await k4all('embed-ignition', ['--iso', base, '--output', path(name), ...args]);
      return path(name);
    }

    it('a file that Ignition refuses, with its reason and long before the timeout', { timeout: SLOW }, async () => {
      const file = {
        path: '/etc/refused',
        contents: { source: 'data:,x', verification: { hash: `sha256-${'0'.repeat(64)}` } },
      };
      await writeFile(
        path('refused.ign'),
        JSON.stringify({ ignition: { version: '3.4.0' }, storage: { files: [file] } }),
      );
      const report = await boot({ image: await embedded('refused.iso', ['--live-ignition', path('refused.ign')]) });
      expect(report.verdict).toBe('failed');
      expect(report.reason).toMatch(/^Ignition failure: .*hash verification failed/);
      expect(report.seconds).toBeLessThan(150);
    });

    it('a config of a spec that Ignition does not know', { timeout: SLOW }, async () => {
      const config = '{"ignition":{"version":"3.99.0"}}';
      const iso = path('unknown.iso');
      await cp(base, iso);
      await embedRaw(iso, folder, config);
      const report = await boot({ image: iso });
      expect(report).toMatchObject({ verdict: 'failed', reason: expect.stringMatching(/^Ignition failure: /) });
    });

    it('a kernel that panics', { timeout: SLOW }, async () => {
      const report = await boot({ image: await embedded('panic.iso', ['--live-karg-append', 'rdinit=/missing']) });
      expect(report).toMatchObject({
        verdict: 'failed',
        reason: expect.stringMatching(/^kernel panic: .*not syncing/),
      });
    });

    it.for(['bios', 'uefi'] as const)('a blank disk, as the %s says', { timeout: SLOW }, async (firmware) => {
      await writeFile(path('blank.img'), Buffer.alloc(1024 ** 2));
      const report = await boot({ image: path('blank.img'), firmware });
      expect(report).toMatchObject({ verdict: 'failed', reason: expect.stringMatching(/^no bootable device: /) });
    });

    it('a machine that powers off before it is done', { timeout: SLOW }, async () => {
      const report = await boot({ image: base, expect: /never/ });
      expect(report).toMatchObject({ verdict: 'failed', reason: expect.stringContaining('power-off before "expect"') });
      expect(report.log).toContain('lab: no-config');
    });
  });
}

/** Puts a config into the Ignition area as any tool could: an archive, zeros behind it. Our own command refuses this one. */
async function embedRaw(iso: string, folder: string, config: string): Promise<void> {
  await writeFile(join(folder, 'config.ign'), config);
  const archive = join(folder, 'config.cpio');
  const child = promisify(execFile)('cpio', ['-o', '-H', 'newc', '-F', archive], { cwd: folder });
  child.child.stdin?.end('config.ign\n');
  await child;
  const bytes = await readFile(iso);
  const offset = await ignitionAreaOffset(iso);
  expect(bytes.subarray(offset, offset + 262_144).every((byte) => byte === 0)).toBe(true);
  (await readFile(archive)).copy(bytes, offset);
  await writeFile(iso, bytes);
}

/** From genisoimage's own listing: `[ extent flags ] IGNITION.IMG`. */
async function ignitionAreaOffset(iso: string): Promise<number> {
  const { stdout } = await promisify(execFile)('isoinfo', ['-l', '-i', iso]);
  const [, extent] = /\[\s*(\d+) \d+\]\s+IGNITION\.IMG/.exec(stdout) ?? [];
  return Number(extent) * 2048;
}

async function k4all(command: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await runCli([command, ...args]);
  if (code !== 0) throw new Error(`k4all ${command} ended with ${code}:\n${stderr}`);
}
