import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeArchive } from '../../src/archive/index.ts';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { INPUT_FILES, writeInputFiles } from './customize-inputs.ts';
import { type Given, runCommand } from './run-command.ts';

const FEATURES = { 'live-initrd-network': true };
const file = (path: string, text = '') => ({ path, mode: 0o100644, data: Buffer.from(text) });
const stamp = file('etc/coreos-live-initramfs');
const features = file('etc/coreos/features.json', JSON.stringify(FEATURES));
const linker = file('usr/lib/ld-linux-aarch64.so.1', 'linker');

describe('a live PXE initramfs', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const embed = (given: Given) => runCommand(embedIgnition, given, folder);
  const inspect = async (name: string) => (await runCommand(inspectIso, { iso: [name] }, folder)).outputs;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'k4all-initrd-'));
    writeInputFiles(folder);
    writeFileSync(at('live.img'), gzipSync(writeArchive([stamp, features, linker])));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('gets an archive appended', async () => {
    const { outputs, log } = await embed({
      initrd: ['live.img'],
      output: ['new.img'],
      'live-ignition': ['live-1.ign'],
      'network-keyfile': ['eth0.nmconnection'],
    });
    const original = readFileSync(at('live.img'));
    const written = readFileSync(at('new.img'));
    expect(written.subarray(0, original.length).equals(original)).toBe(true);
    expect(outputs).toMatchObject({
      iso: 'new.img',
      'embed-area-size': 0,
      'embed-area-used': written.length - original.length,
    });
    expect(log).toContain('ignition.firstboot ignition.platform.id=metal');
    expect(await inspect('new.img')).toEqual({
      ignition: INPUT_FILES['live-1.ign'],
      network: { 'eth0.nmconnection': INPUT_FILES['eth0.nmconnection'] },
      'kernel-arguments': [],
      'default-kernel-arguments': [],
      architecture: 'aarch64',
      features: FEATURES,
      pristine: false,
    });
    expect((await inspect('live.img')).pristine).toBe(true);
  });

  it('is refused when customised, damaged or of another kind', async () => {
    const refused = async (name: string, bytes: Buffer) => {
      writeFileSync(at(name), bytes);
      const given = { initrd: [name], output: ['out.img'], 'live-ignition': ['live-1.ign'] };
      return embed(given).then(
        () => 'it succeeded',
        (error: Error) => error.message,
      );
    };
    const custom = writeArchive([stamp, file('config.ign', '{}')]);
    expect(await refused('custom.img', custom)).toContain('custom.img is customised already');
    expect(await refused('other.img', writeArchive([linker]))).toContain('other.img is not a CoreOS live initramfs');
    expect(await refused('cut.img', readFileSync(at('live.img')).subarray(0, 60))).toContain('nor a sound initramfs');
    expect(await refused('bad.img', writeArchive([stamp, file(features.path, '{')]))).toContain('is not JSON');
  });

  it('is not replaced where its own archive holds the config', async () => {
    writeFileSync(at('baked.img'), gzipSync(writeArchive([stamp, file('config.ign', '{}'), linker])));
    const given = { initrd: ['baked.img'], output: ['out.img'], 'live-ignition': ['live-1.ign'], force: ['true'] };
    await expect(embed(given)).rejects.toThrow('not by an archive at its end');
  });

  it('needs the feature for network settings', async () => {
    writeFileSync(at('old.img'), writeArchive([stamp]));
    const given = { initrd: ['old.img'], output: ['out.img'], 'network-keyfile': ['eth0.nmconnection'] };
    await expect(embed(given)).rejects.toThrow('lacks "live-initrd-network"');
  });
});
