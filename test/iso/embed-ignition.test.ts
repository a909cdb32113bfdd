import { createHash } from 'node:crypto';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { UsageError } from '../../src/io/errors.ts';
import { INPUT_FILES, writeInputFiles } from './customize-inputs.ts';
import { liveIsoImage } from './layouts.ts';
import { type Given, runCommand } from './run-command.ts';

let folder: string;
const at = (name: string) => join(folder, name);
const { image } = liveIsoImage('igninfo');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'k4all-embed-'));
  writeInputFiles(folder);
  writeFileSync(at('live.iso'), image);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const embed = (given: Given) => runCommand(embedIgnition, given, folder);
const inspect = async (iso: string) => (await runCommand(inspectIso, { iso: [iso] }, folder)).outputs;

async function failure(given: Given): Promise<Error> {
  const before = readdirSync(folder).sort();
  const error = await embed(given).then(
    () => new Error('it succeeded'),
    (reason: Error) => reason,
  );
  expect(readdirSync(folder).sort()).toEqual(before);
  return error;
}

describe('embed-ignition', () => {
  it('edits an ISO in place', async () => {
    const { outputs, log } = await embed({
      iso: ['live.iso'],
      'live-ignition': ['live-1.ign'],
      'live-karg-append': ['coreos.liveiso.fromram'],
    });
    expect(outputs).toEqual({
      iso: 'live.iso',
      sha256: '',
      'embed-area-size': 262_144,
      'embed-area-used': expect.any(Number),
    });
    expect(log).toMatch(/Ignition area █░+ 0\.\d % \(\d+ bytes of 256 KiB\)/);
    const shown = await inspect('live.iso');
    expect(shown.ignition).toBe(INPUT_FILES['live-1.ign']);
    expect(shown.pristine).toBe(false);
    expect(shown['kernel-arguments']).toContain('coreos.liveiso.fromram');
    expect(shown['default-kernel-arguments']).not.toContain('coreos.liveiso.fromram');
    await embed({ iso: ['live.iso'], reset: ['true'] });
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
  });

  it('writes a new file with its digest, and leaves the ISO alone', async () => {
    const { outputs } = await embed({ iso: ['live.iso'], output: ['out/new.iso'], 'live-ignition': ['live-1.ign'] });
    const written = readFileSync(at('out/new.iso'));
    expect(outputs.sha256).toBe(createHash('sha256').update(written).digest('hex'));
    expect(outputs.iso).toBe('out/new.iso');
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
    expect(readdirSync(at('out'))).toEqual(['new.iso']);
  });

  it('is refused on a customised ISO without force, and starts from the pristine one with it', async () => {
    await embed({ iso: ['live.iso'], 'live-ignition': ['live-1.ign'], 'live-karg-append': ['one'] });
    const again = { iso: ['live.iso'], 'live-ignition': ['live-2.ign'] };
    expect((await failure(again)).message).toContain('live.iso is customised already');
    await embed({ ...again, force: ['true'] });
    const shown = await inspect('live.iso');
    expect(shown.ignition).toBe(INPUT_FILES['live-2.ign']);
    expect(shown['kernel-arguments']).not.toContain('one');
  });

  it('overwrites no output without force', async () => {
    writeFileSync(at('new.iso'), 'mine');
    const given = { iso: ['live.iso'], output: ['new.iso'], 'live-ignition': ['live-1.ign'] };
    expect((await failure(given)).message).toContain('exists already');
    expect(readFileSync(at('new.iso'), 'utf8')).toBe('mine');
    await embed({ ...given, force: ['true'] });
    expect(readFileSync(at('new.iso')).length).toBe(image.length);
  });

  it.each(['live.iso', 'live-1.ign', 'link.iso'])('refuses the input %s as output', async (output) => {
    symlinkSync('live.iso', at('link.iso'));
    const error = await failure({
      iso: ['live.iso'],
      output: [output],
      'live-ignition': ['live-1.ign'],
      force: ['true'],
    });
    expect(error.message).toContain(`"output" is "${output}", which is also the input`);
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
  });

  it('embeds no empty config, and says so', async () => {
    writeFileSync(at('empty.ign'), '{"ignition":{"version":"3.4.0"},"storage":{"files":[]}}');
    const { log } = await embed({ iso: ['live.iso'], 'live-ignition': ['empty.ign'] });
    expect(log).toContain('warning: empty.ign is an empty config and is left out');
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
    await embed({ iso: ['live.iso'], 'live-ignition': ['empty.ign', 'live-1.ign'] });
    expect((await inspect('live.iso')).ignition).toBe(INPUT_FILES['live-1.ign']);
  });

  it('warns of a config without a device and of a device without a config', async () => {
    const config = await embed({ iso: ['live.iso'], 'dest-ignition': ['dest-1.ign'], force: ['true'] });
    expect(config.log).toContain('warning: there is a configuration for the installer, but no destination device');
    const device = await embed({ iso: ['live.iso'], 'dest-device': ['/dev/sda'], force: ['true'] });
    expect(device.log).toContain('warning: there is a destination device, but no destination config');
    const both = await embed({
      iso: ['live.iso'],
      'installer-config': ['install-2.yaml'],
      'dest-ignition': ['dest-1.ign'],
      force: ['true'],
    });
    expect(both.log).not.toContain('warning');
    const script = await embed({ iso: ['live.iso'], 'pre-install': ['pre-1'], force: ['true'] });
    expect(script.log).toContain('run only with the installer');
  });

  it('says when a kernel argument to delete is not there', async () => {
    const { log } = await embed({ iso: ['live.iso'], 'live-karg-delete': ['quiet'] });
    expect(log).toContain("warning: the kernel argument quiet isn't among the ISO's defaults");
  });

  it('hints at the console option', async () => {
    const { log } = await embed({
      iso: ['live.iso'],
      'dest-karg-append': ['console=ttyS0'],
      'installer-config': ['install-2.yaml'],
    });
    expect(log).toContain('note: "dest-console" instead of "dest-karg-append"');
  });

  it('carries network settings', async () => {
    await embed({ iso: ['live.iso'], 'network-keyfile': ['eth0.nmconnection', 'eth1.nmconnection'] });
    expect((await inspect('live.iso')).network).toEqual({
      'eth0.nmconnection': INPUT_FILES['eth0.nmconnection'],
      'eth1.nmconnection': INPUT_FILES['eth1.nmconnection'],
    });
    expect((await inspect('live.iso')).ignition).toBeNull();
  });

  it('names the feature that an old release lacks', async () => {
    writeFileSync(at('live.iso'), liveIsoImage('plain').image);
    const refuse = async (given: Given) => (await failure({ iso: ['live.iso'], ...given })).message;
    expect(await refuse({ 'dest-console': ['ttyS0'] })).toContain('lacks "installer-config-directives.console"');
    expect(await refuse({ 'network-keyfile': ['eth0.nmconnection'] })).toContain('lacks "live-initrd-network"');
    expect(await refuse({ 'dest-device': ['/dev/sda'] })).toMatch(
      /live\.iso \(release 43\.20260301\.3\.0\) doesn't support .* lacks "installer-config"/,
    );
    expect(await refuse({ 'live-karg-append': ['a'] })).toContain('has no areas for kernel arguments');
  });

  it('names an ISO that is read-only', async () => {
    if (process.getuid?.() === 0) return;
    chmodSync(at('live.iso'), 0o444);
    const error = await failure({ iso: ['live.iso'], 'live-ignition': ['live-1.ign'] });
    expect(error.message).toContain("live.iso can't be written");
  });
});

describe('wrong usage', () => {
  it.each<[Given, string]>([
    [{}, '"iso" is required (or "initrd")'],
    [{ iso: ['live.iso'] }, 'there is nothing to embed'],
    [{ iso: ['live.iso'], initrd: ['a'], 'live-ignition': ['live-1.ign'] }, '"iso" and "initrd" are both given'],
    [{ iso: ['live.iso'], reset: ['true'], 'live-ignition': ['a'] }, '"reset" puts the ISO back, so "live-ignition"'],
    [{ initrd: ['a'], 'live-ignition': ['live-1.ign'] }, '"output" is required with "initrd"'],
    [{ initrd: ['a'], output: ['b'], 'live-karg-append': ['c'] }, '"live-karg-append" can\'t be used with "initrd"'],
    [{ iso: ['live.iso'], 'live-karg-replace': ['a=b'] }, '"live-karg-replace": the kernel-argument replacement "a=b"'],
    [{ iso: ['live.iso'], 'dest-console': ['/dev/ttyS0'] }, '"dest-console": "/dev/ttyS0" is not a console'],
    [{ iso: ['live.iso'], 'dest-console': ['ttyS0,115200n9'] }, 'is not a console'],
    [{ iso: ['live.iso'], 'dest-console': ['ttyS256'] }, 'is not a console'],
  ])('%j', async (given, message) => {
    const error = await failure(given);
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(message);
  });
});

describe('the wrong kind of file', () => {
  const KINDS: Readonly<Record<string, string>> = {
    'a.bu': 'variant: fcos\nversion: 1.5.0\n',
    'a.yaml': 'a: 1\n',
    'a.json': '{"a": 1}',
    'nmstate.yaml': 'interfaces:\n- name: eth0\n',
    'a.key': '-----BEGIN PRIVATE KEY-----\nMIG=\n-----END PRIVATE KEY-----\n',
    binary: '\0\x01\x02',
    empty: '',
    text: 'hello\n',
    'broken.yaml': 'a: [1\n',
    'unknown.yaml': 'dest-devic: /dev/sda\n',
    'type.yaml': 'dest-device: [a]\n',
  };

  it.each<[string, string, string]>([
    ['live-ignition', 'a.bu', '"a.bu" is a Butane config, not an Ignition config (JSON); compile it first'],
    ['live-ignition', 'a.json', '"a.json" is no Ignition config: it lacks "ignition.version"'],
    ['dest-ignition', 'eth0.nmconnection', '"eth0.nmconnection" is a keyfile, not an Ignition config'],
    ['dest-ignition', 'ca.pem', '"ca.pem" is a certificate, not an Ignition config'],
    ['live-ignition', 'empty', '"empty" is empty, not an Ignition config'],
    ['network-keyfile', 'a.yaml', '"a.yaml" is YAML; a NetworkManager keyfile is needed'],
    ['network-keyfile', 'nmstate.yaml', '"nmstate.yaml" is an nmstate document; a NetworkManager keyfile is needed'],
    ['network-keyfile', 'live-1.ign', '"live-1.ign" is an Ignition config; a NetworkManager keyfile is needed'],
    ['network-keyfile', 'binary', '"binary" is a binary file'],
    ['ignition-ca', 'a.key', '"a.key" holds a private key'],
    ['ignition-ca', 'pre-1', '"pre-1" is a script; an Ignition CA is a certificate in PEM form'],
    ['pre-install', 'live-1.ign', '"live-1.ign" is an Ignition config, not a script'],
    ['post-install', 'text', '"text" is a text of some other kind, not a script'],
    ['installer-config', 'broken.yaml', 'the installer config "broken.yaml" is not YAML'],
    ['installer-config', 'unknown.yaml', 'has the unknown option "dest-devic"'],
    ['installer-config', 'type.yaml', 'has a "dest-device" that is not a text'],
    ['installer-config', 'text', 'is not a mapping'],
    ['pre-install', 'folder', '"pre-install" names "folder", which is a folder'],
    ['live-ignition', 'none.ign', '"live-ignition" names "none.ign", which doesn\'t exist'],
  ])('%s with %s', async (input, file, message) => {
    for (const [name, text] of Object.entries(KINDS)) writeFileSync(at(name), text);
    mkdirSync(at('folder'));
    expect((await failure({ iso: ['live.iso'], [input]: [file] })).message).toContain(message);
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
  });

  it('names every file that is missing', async () => {
    const error = await failure({ iso: ['live.iso'], 'live-ignition': ['x.ign'], 'pre-install': ['y'] });
    expect(error).toMatchObject({
      message: expect.stringContaining("2 inputs can't be read"),
      findings: [{ message: expect.stringContaining('x.ign') }, { message: expect.stringContaining('"y"') }],
    });
  });

  it('names an image that is none', async () => {
    expect((await failure({ iso: ['none.iso'], reset: ['true'] })).message).toBe('none.iso: there is no such file');
    expect((await failure({ iso: ['pre-1'], reset: ['true'] })).message).toContain('pre-1 is not an ISO 9660 image');
    const initrd = await failure({ initrd: ['live.iso'], output: ['o'], 'live-ignition': ['live-1.ign'] });
    expect(initrd.message).toContain('is an ISO image, not an initramfs');
  });
});
