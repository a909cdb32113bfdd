import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { fileImage, hasBootRecord } from '../../src/disk/index.ts';
import { bytesReader } from '../../src/io/reader.ts';
import { changeKernelArguments, openIsoFileSystem } from '../../src/iso/index.ts';
import { INPUT_FILES, writeInputFiles } from '../iso/customize-inputs.ts';
import { hasArguments, LAYOUTS, VOLUME_ID } from '../iso/layouts.ts';
import { runCommand } from '../iso/run-command.ts';
import { describeWithPeers } from '../support/peers.ts';
import { makeIso, REAL_ISOS, readAreas, realIso, unpackArea } from './iso-images.ts';

const folder = mkdtempSync(join(tmpdir(), 'k4all-areas-'));
const at = (name: string) => join(folder, name);
beforeAll(() => writeInputFiles(folder));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const native = (...argv: string[]) =>
  execFileSync('coreos-installer', argv, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
const inspect = async (iso: string) => (await runCommand(inspectIso, { iso: [iso] }, folder)).outputs;
const bases = [
  ...LAYOUTS.map((layout) => [layout, () => makeIso(folder, layout), hasArguments(layout)] as const),
  ...REAL_ISOS.map((name) => [name, () => realIso(folder, name), true] as const),
];

describeWithPeers('the areas of an ISO', ['coreos-installer', 'genisoimage', 'isohybrid', 'cpio', 'xz'], () => {
  it.each(bases)('of layout %s are read after coreos-installer wrote them', async (name, make, kernelArguments) => {
    const base = make();
    copyFileSync(base, at('theirs.iso'));
    native('iso', 'ignition', 'embed', '-i', 'live-1.ign', 'theirs.iso');
    if (kernelArguments) native('iso', 'kargs', 'modify', '-a', 'one', '-d', 'ignition.firstboot', 'theirs.iso');
    const features = ((await inspect('theirs.iso')).features ?? {}) as Record<string, unknown>;
    if (features['live-initrd-network']) native('iso', 'network', 'embed', '-k', 'eth0.nmconnection', 'theirs.iso');
    const shown = await inspect('theirs.iso');
    expect(shown.ignition).toBe(INPUT_FILES['live-1.ign']);
    const keyfiles = features['live-initrd-network'] ? { 'eth0.nmconnection': INPUT_FILES['eth0.nmconnection'] } : {};
    expect(shown.network).toEqual(keyfiles);
    expect(shown.architecture).toBe(name.includes('s390x') ? 's390x' : 'x86_64');
    if (!kernelArguments) return;
    expect((shown['kernel-arguments'] as string[]).join(' ')).toBe(native('iso', 'kargs', 'show', 'theirs.iso').trim());
    const defaults = native('iso', 'kargs', 'show', '--default', 'theirs.iso').trim();
    expect((shown['default-kernel-arguments'] as string[]).join(' ')).toBe(defaults);
  });

  it.each(bases)('of layout %s hold an archive that cpio reads', async (_, make, kernelArguments) => {
    copyFileSync(make(), at('ours.iso'));
    const append = kernelArguments ? { 'live-karg-append': ['coreos.liveiso.fromram', 'two=2'] } : {};
    await runCommand(embedIgnition, { iso: ['ours.iso'], 'live-ignition': ['live-1.ign'], ...append }, folder);
    const { listing, files } = unpackArea(folder, readAreas(at('ours.iso')).ignition);
    expect(listing).toEqual(['-rw------- config.ign']);
    expect(files.get('config.ign')?.toString()).toBe(INPUT_FILES['live-1.ign']);
    expect(native('iso', 'ignition', 'show', 'ours.iso')).toBe(INPUT_FILES['live-1.ign']);
    if (kernelArguments)
      expect(native('iso', 'kargs', 'show', 'ours.iso')).toMatch(/ coreos\.liveiso\.fromram two=2\n$/);
  });

  it('change kernel arguments as coreos-installer does', async () => {
    const base = makeIso(folder, 'igninfo');
    const word = fc.constantFrom(
      'ignition.firstboot',
      'a',
      'a=1',
      'a=2',
      'b=1',
      'a a',
      '$&',
      'ä=ö',
      'mitigations=auto,nosmt',
    );
    const replacement = fc.tuple(
      fc.constantFrom('a', 'b', 'ignition.platform.id', '$1'),
      fc.constantFrom('1', 'metal'),
      word,
    );
    const changes = fc.record({
      append: fc.array(word, { maxLength: 5 }),
      delete: fc.array(word, { maxLength: 3 }),
      replace: fc.array(replacement, { maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(changes, async ({ append, delete: deletions, replace }) => {
        const replacements = replace.map(([key, from, to]) => `${key}=${from}=${to.replaceAll('=', '-')}`);
        copyFileSync(base, at('kargs.iso'));
        const defaults = native('iso', 'kargs', 'show', 'kargs.iso').trim();
        const flags = [
          ...append.map((argument) => `--append=${argument}`),
          ...deletions.map((argument) => `--delete=${argument}`),
          ...replacements.map((argument) => `--replace=${argument}`),
        ];
        native('iso', 'kargs', 'modify', ...flags, 'kargs.iso');
        const ours = changeKernelArguments(defaults, { append, delete: deletions, replace: replacements });
        expect(`${ours}\n`).toBe(native('iso', 'kargs', 'show', 'kargs.iso'));
      }),
      { numRuns: 30 },
    );
  });
});

describeWithPeers('the file system of an ISO', ['xorriso', 'genisoimage', 'isohybrid', 'coreos-installer'], () => {
  const contents = (iso: string) => {
    const target = at('contents');
    rmSync(target, { recursive: true, force: true });
    spawnSync('xorriso', ['-osirrox', 'on', '-indev', iso, '-extract', '/', target], { cwd: folder, stdio: 'pipe' });
    const list = execFileSync('find', ['.', '-type', 'f', '-printf', '%P\\n'], { cwd: target, encoding: 'utf8' });
    execFileSync('chmod', ['-R', 'u+rw', target]);
    return new Map(
      list
        .trim()
        .split('\n')
        .map((path) => [path, readFileSync(join(target, path))]),
    );
  };

  it('holds the same for xorriso before and after, the areas aside', async () => {
    copyFileSync(makeIso(folder, 'igninfo'), at('ours.iso'));
    const before = contents('ours.iso');
    const given = { iso: ['ours.iso'], 'live-ignition': ['live-1.ign'], 'live-karg-append': ['x'] };
    await runCommand(embedIgnition, given, folder);
    const after = contents('ours.iso');
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    const changed = [...after].filter(([path, bytes]) => !before.get(path)?.equals(bytes)).map(([path]) => path);
    expect(changed.sort()).toEqual(['EFI/fedora/grub.cfg', 'images/ignition.img', 'isolinux/isolinux.cfg']);
    await runCommand(embedIgnition, { iso: ['ours.iso'], reset: ['true'] }, folder);
    expect(contents('ours.iso')).toEqual(before);
  });

  it('is read as xorriso and coreos-installer read it', async () => {
    const iso = makeIso(folder, 'igninfo');
    const image = readFileSync(iso);
    const files = await openIsoFileSystem(bytesReader('i.iso', image));
    expect(files.volumeId).toBe(VOLUME_ID);
    const paths: string[] = [];
    for await (const { path } of files.walk()) paths.push(path);
    const { records } = JSON.parse(native('dev', 'show', 'iso', iso)) as { records: string[] };
    expect(paths.sort()).toEqual(records.sort());
    for (const [path, bytes] of contents(iso)) {
      const short = path.replace(/(\.[^./]{3})[^./]+$/, '$1');
      const entry = await files.find(short);
      if (entry) expect((await files.open(entry).read(0, entry.size)).equals(bytes)).toBe(true);
    }
  });

  it.each(bases)('of layout %s boots as a disk when isohybrid made it so', async (name, make) => {
    const image = readFileSync(make());
    expect(await hasBootRecord(fileImage(bytesReader('i.iso', image)))).toBe(!name.includes('s390x'));
    image.fill(0, 0, 512);
    expect(await hasBootRecord(fileImage(bytesReader('i.iso', image)))).toBe(false);
  });

  it('may have the lower-case names that xorriso writes', async () => {
    makeIso(folder, 'igninfo');
    const argv = ['-as', 'mkisofs', '-quiet', '-r', '-V', VOLUME_ID, '-o', 'lower.iso', 'igninfo.d'];
    execFileSync('xorriso', argv, { cwd: folder, stdio: 'pipe' });
    const original = readFileSync(at('lower.iso'));
    writeFileSync(at('copy.iso'), original);
    const given = { iso: ['copy.iso'], 'live-ignition': ['live-1.ign'], 'live-karg-append': ['x'] };
    await runCommand(embedIgnition, given, folder);
    expect((await inspect('copy.iso')).ignition).toBe(INPUT_FILES['live-1.ign']);
    await runCommand(embedIgnition, { iso: ['copy.iso'], reset: ['true'] }, folder);
    expect(readFileSync(at('copy.iso')).equals(original)).toBe(true);
  });
});
