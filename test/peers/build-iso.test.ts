import { execFileSync, spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeDemoBase } from '../../scripts/demo-base.ts';
import { runCli } from '../support/bundle.ts';
import { ROLES, writeK4allTree } from '../support/k4all-tree.ts';
import { describeWithPeers } from '../support/peers.ts';

const DISK = 60 * 1024 ** 3;
/** A raw image is hashed with all its zeros, so it is a small one. */
const RAW_DISK = 1024 ** 3;
const tools = ['butane', 'coreos-installer', 'qemu-img', 'ignition-validate', 'sha256sum'];

describeWithPeers('a whole build, held to the native tools', tools, () => {
  let folder: string;
  const out = (name: string) => join(folder, 'out', `k4all-${name}`);
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { cwd: folder, encoding: 'utf8' });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-peers-build-'));
    await mkdir(join(folder, 'workspace'));
    await writeK4allTree(join(folder, 'workspace'));
    await writeDemoBase(join(folder, 'base.iso'));
    const options = ['build-iso', '--workspace=workspace', '--base-iso=base.iso', '--version=1'];
    expect(await runCli(options, { cwd: folder })).toMatchObject({ code: 0 });
    const raw = ['--formats=raw', '--disk-size=1G', '--roles=worker', '--output-dir=raw'];
    expect(await runCli([...options, ...raw], { cwd: folder })).toMatchObject({ code: 0 });
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('sha256sum accepts SHA256SUMS', () => {
    expect(
      execFileSync('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd: join(folder, 'out'), encoding: 'utf8' }),
    ).toContain('k4all-worker-1-x86_64.vdi: OK');
  });

  it.each(ROLES)('the live config of %s is what native Butane makes of executable scripts', async (role) => {
    const tree = join(folder, `native-${role}`);
    await cp(join(folder, 'workspace'), tree, { recursive: true });
    execFileSync('find', [
      join(tree, 'scripts'),
      join(tree, 'install-scripts'),
      '-type',
      'f',
      '-exec',
      'chmod',
      '0755',
      '{}',
      '+',
    ]);
    const butane = (source: string, output: string) =>
      run('butane', '--pretty', '--strict', '-d', tree, '-o', join(tree, output), join(tree, source));
    butane('k8s-base.bu', 'k8s-base.ign');
    butane(`k8s-${role}.bu`, 'k8s.ign');
    butane('install.bu', 'install.ign');
    const embedded = run('coreos-installer', 'iso', 'ignition', 'show', out(`${role}-1-x86_64.iso`));
    expect(embedded).toBe(await readFile(join(tree, 'install.ign'), 'utf8'));
    const config = join(folder, `${role}.ign`);
    await writeFile(config, embedded);
    expect(spawnSync('ignition-validate', [config]).status).toBe(0);
  });

  it('coreos-installer shows the kernel arguments, and resets the ISO to its base', async () => {
    const iso = join(folder, 'reset.iso');
    await cp(out('control-1-x86_64.iso'), iso);
    expect(run('coreos-installer', 'iso', 'kargs', 'show', iso).trim()).toMatch(/ coreos\.liveiso\.fromram$/);
    run('coreos-installer', 'iso', 'reset', iso);
    expect((await readFile(iso)).equals(await readFile(join(folder, 'base.iso')))).toBe(true);
  });

  it.each(['qcow2', 'vdi', 'raw'])('qemu-img finds nothing wrong with %s, and the grown ISO in it', async (format) => {
    const grown = join(folder, 'grown.raw');
    await cp(out('worker-1-x86_64.iso'), grown);
    const size = format === 'raw' ? RAW_DISK : DISK;
    await truncate(grown, size);
    const image = format === 'raw' ? join(folder, 'raw/k4all-worker-1-x86_64.raw') : out(`worker-1-x86_64.${format}`);
    if (format !== 'raw') expect(run('qemu-img', 'check', '-f', format, image)).toContain('No errors were found');
    const args = ['compare', '-f', format, '-F', 'raw', image, grown];
    expect(run('qemu-img', ...args)).toContain('Images are identical');
    expect(JSON.parse(run('qemu-img', 'info', '--output=json', '-f', format, image))['virtual-size']).toBe(size);
  });
});
