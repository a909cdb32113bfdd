import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { INPUT_FILES, writeInputFiles } from '../iso/customize-inputs.ts';
import { type Given, runCommand } from '../iso/run-command.ts';
import { describeWithPeers } from '../support/peers.ts';
import { unpackArea } from './iso-images.ts';

const FEATURES = {
  'installer-config': true,
  'installer-config-directives': { console: true },
  'live-initrd-network': true,
};

describeWithPeers('PXE initramfs as coreos-installer does', ['coreos-installer', 'cpio', 'xz', 'zstd'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'k4all-pxe-'));
  const at = (name: string) => join(folder, name);

  function archive(name: string, files: Readonly<Record<string, string>>): Buffer {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(at(`${name}/${path.slice(0, path.lastIndexOf('/'))}`), { recursive: true });
      writeFileSync(at(`${name}/${path}`), text);
    }
    const list = execFileSync('find', ['.', '-mindepth', '1', '-printf', '%P\\n'], { cwd: at(name) });
    return execFileSync('cpio', ['-o', '-H', 'newc', '--quiet'], { cwd: at(name), input: list });
  }

  beforeAll(() => {
    writeInputFiles(folder);
    const microcode = archive('early', { 'kernel/x86/microcode/GenuineIntel.bin': 'microcode' });
    const main = archive('main', {
      'etc/coreos-live-initramfs': '',
      'etc/coreos/features.json': JSON.stringify(FEATURES),
      'usr/lib64/ld-linux-x86-64.so.2': 'linker',
    });
    const more = archive('more', { 'usr/bin/sh': 'sh' });
    const zstd = (input: Buffer) => execFileSync('zstd', ['-c'], { input });
    const xz = (input: Buffer) => execFileSync('xz', ['-c', '--check=crc32'], { input });
    writeFileSync(at('zstd.img'), Buffer.concat([microcode, zstd(main), Buffer.alloc(3), gzipSync(more)]));
    writeFileSync(at('xz.img'), Buffer.concat([microcode, xz(main)]));
    writeFileSync(at('plain.img'), main);
    writeFileSync(at('other.img'), more);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const CASES: readonly Given[] = [
    { 'network-keyfile': ['eth0.nmconnection', 'eth1.nmconnection'] },
    { 'live-ignition': ['live-1.ign', 'live-2.ign'] },
    { 'dest-ignition': ['dest-1.ign'], 'dest-device': ['/dev/sda'], 'network-keyfile': ['eth0.nmconnection'] },
    {
      'pre-install': ['pre-1'],
      'post-install': ['post-1'],
      'installer-config': ['install-1.yaml'],
      'dest-console': ['ttyS0'],
    },
  ];

  it.each(['zstd.img', 'xz.img', 'plain.img'])('customises %s', async (initrd) => {
    for (const options of CASES) {
      for (const name of ['theirs.img', 'ours.img']) rmSync(at(name), { force: true });
      const flags = Object.entries(options).flatMap(([name, values]) => values.map((value) => `--${name}=${value}`));
      execFileSync('coreos-installer', ['pxe', 'customize', ...flags, '-o', 'theirs.img', initrd], {
        cwd: folder,
        stdio: 'pipe',
      });
      const { outputs } = await runCommand(
        embedIgnition,
        { ...options, initrd: [initrd], output: ['ours.img'] },
        folder,
      );
      const original = readFileSync(at(initrd));
      const [theirs, ours] = ['theirs.img', 'ours.img'].map((name) => readFileSync(at(name)));
      if (!theirs || !ours) throw new Error('nothing was written');
      expect(ours.subarray(0, original.length).equals(original)).toBe(true);
      expect(outputs['embed-area-used']).toBe(ours.length - original.length);
      const [theirArchive, ourArchive] = [theirs, ours].map((bytes) => {
        const appended = bytes.subarray(original.length);
        return unpackArea(folder, appended.subarray(appended.findIndex((byte) => byte !== 0)));
      });
      expect(ourArchive?.listing).toEqual(theirArchive?.listing);
      const shown = (await runCommand(inspectIso, { iso: ['theirs.img'] }, folder)).outputs;
      const unwrapped = spawnSync('coreos-installer', ['pxe', 'ignition', 'unwrap', 'theirs.img'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(shown.ignition ?? '').toBe(unwrapped.stdout);
      const own = (await runCommand(inspectIso, { iso: ['ours.img'] }, folder)).outputs;
      const ourUnwrapped = spawnSync('coreos-installer', ['pxe', 'ignition', 'unwrap', 'ours.img'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(own.ignition ?? '').toBe(ourUnwrapped.stdout);
      expect(own.network).toEqual(shown.network);
      expect(own).toMatchObject({
        architecture: 'x86_64',
        features: FEATURES,
        pristine: false,
        'kernel-arguments': [],
      });
    }
  });

  it.each(['zstd.img', 'xz.img', 'plain.img'])('replaces with force what is embedded in %s', async (initrd) => {
    const options = { 'live-ignition': ['live-1.ign'], 'network-keyfile': ['eth0.nmconnection'] };
    rmSync(at('custom.img'), { force: true });
    const flags = Object.entries(options).map(([name, [value]]) => `--${name}=${value}`);
    execFileSync('coreos-installer', ['pxe', 'customize', ...flags, '-o', 'custom.img', initrd], {
      cwd: folder,
      stdio: 'pipe',
    });
    const run = (from: string, to: string) =>
      runCommand(
        embedIgnition,
        { initrd: [from], output: [to], 'live-ignition': ['live-2.ign'], force: ['true'] },
        folder,
      );
    await run(initrd, 'fresh.img');
    const raw = archive('raw', { 'config.ign': '{}', 'etc/coreos-firstboot-network/a': 'b' });
    writeFileSync(
      at('raw.img'),
      Buffer.concat([readFileSync(at(initrd)), Buffer.alloc(-readFileSync(at(initrd)).length & 3), raw]),
    );
    for (const name of ['custom.img', 'raw.img']) {
      await run(name, 'replaced.img');
      const padding = name === 'raw.img' ? -readFileSync(at(initrd)).length & 3 : 0;
      const replaced = readFileSync(at('replaced.img'));
      expect(replaced.length).toBe(readFileSync(at('fresh.img')).length + padding);
      const shown = (await runCommand(inspectIso, { iso: ['replaced.img'] }, folder)).outputs;
      expect(shown).toMatchObject({ ignition: INPUT_FILES['live-2.ign'], network: {} });
    }
  });

  it('refuses what coreos-installer refuses', async () => {
    const run = (initrd: string) =>
      runCommand(embedIgnition, { initrd: [initrd], output: ['new.img'], 'live-ignition': ['live-1.ign'] }, folder);
    await expect(run('other.img')).rejects.toThrow('other.img is not a CoreOS live initramfs');
    writeFileSync(at('garbage.img'), 'garbage');
    await expect(run('garbage.img')).rejects.toThrow('garbage.img is neither a CoreOS live ISO nor a sound initramfs');
    await run('xz.img');
    expect((await runCommand(inspectIso, { iso: ['new.img'] }, folder)).outputs.ignition).toBe(
      INPUT_FILES['live-1.ign'],
    );
    await expect(
      runCommand(
        embedIgnition,
        { initrd: ['new.img'], output: ['newer.img'], 'live-ignition': ['live-1.ign'] },
        folder,
      ),
    ).rejects.toThrow('new.img is customised already');
  });
});
