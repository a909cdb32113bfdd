import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import {
  type ArchiveMember,
  type Compression,
  compressSmallest,
  decompress,
  filesOf,
  readArchives,
  writeArchive,
} from '../../src/archive/index.ts';
import { describeWithPeers } from '../support/peers.ts';

const file = (path: string, data: Uint8Array | string, mode = 0o100600): ArchiveMember => ({
  path,
  mode,
  data: Buffer.from(data),
});
const maxBuffer = 64 * 1024 * 1024;
const run = (program: string, args: readonly string[], input: Uint8Array, cwd?: string): Buffer =>
  execFileSync(program, args, { input, maxBuffer, cwd, stdio: ['pipe', 'pipe', 'ignore'] });
const texts = (members: Iterable<ArchiveMember>) =>
  Object.fromEntries([...filesOf(members)].map(([path, data]) => [path, Buffer.from(data).toString()]));

const peers: Record<Compression, { readonly program: string; readonly best: readonly string[] }> = {
  gzip: { program: 'gzip', best: ['-9', '-n', '-c'] },
  xz: { program: 'xz', best: ['-9e', '--check=crc32', '-c'] },
  zstd: { program: 'zstd', best: ['-19', '-q', '-c'] },
};
const compressions = ['gzip', 'xz', 'zstd'] as const;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-archive-'));
});
afterEach(() => rm(folder, { recursive: true }));

describeWithPeers('archives and cpio', ['cpio'], () => {
  it('GNU cpio lists and unpacks what is written', async () => {
    const members = [
      file('etc/coreos-firstboot-network/eth0.nmconnection', '[connection]\nid=eth0\n'),
      file('config.ign', '{"ignition":{"version":"3.4.0"}}'),
      file('usr/bin/tool', '#!/bin/sh\n', 0o100755),
    ];
    const listing = run('cpio', ['-itv', '--quiet'], writeArchive(members), folder).toString();
    const lines = listing.trim().split('\n');
    expect(lines.map((line) => [line.slice(0, 10), line.split(' ').at(-1)])).toEqual([
      ['-rw-------', 'config.ign'],
      ['drwxr-xr-x', 'etc'],
      ['drwxr-xr-x', 'etc/coreos-firstboot-network'],
      ['-rw-------', 'etc/coreos-firstboot-network/eth0.nmconnection'],
      ['drwxr-xr-x', 'usr'],
      ['drwxr-xr-x', 'usr/bin'],
      ['-rwxr-xr-x', 'usr/bin/tool'],
    ]);
    expect(lines.every((line) => line.includes(' root ') && line.includes('1970'))).toBe(true);
    run('cpio', ['-i', '--quiet', '--no-preserve-owner'], writeArchive(members), folder);
    expect(await readFile(join(folder, 'etc/coreos-firstboot-network/eth0.nmconnection'), 'utf8')).toBe(
      '[connection]\nid=eth0\n',
    );
  });

  it.each(['newc', 'crc'])('what GNU cpio writes as %s is read', async (format) => {
    await mkdir(join(folder, 'in/dir'), { recursive: true });
    await writeFile(join(folder, 'in/config.ign'), '{}', { mode: 0o640 });
    await writeFile(join(folder, 'in/dir/a'), 'linked');
    await link(join(folder, 'in/dir/a'), join(folder, 'in/dir/b'));
    const names = Buffer.from('config.ign\ndir\ndir/a\ndir/b\n');
    const bytes = run('cpio', ['-o', '-H', format, '--quiet'], names, join(folder, 'in'));
    const members = readArchives(bytes);
    expect(texts(members)).toEqual({ 'config.ign': '{}', 'dir/a': 'linked', 'dir/b': 'linked' });
    expect(members.find(({ path }) => path === 'config.ign')?.mode).toBe(0o100640);
    expect(members.find(({ path }) => path === 'dir')?.mode).toBe(0o040755);
  });
});

describeWithPeers('archives and compressors', ['cpio', 'gzip', 'xz', 'zstd'], () => {
  const archives = Object.fromEntries(
    (['none', ...compressions] as const).map((name) => [name, writeArchive([file('which', name), file(name, name)])]),
  );
  const packedByPeer = (name: string): Buffer => {
    const archive = archives[name] ?? Buffer.alloc(0);
    return name === 'none' ? archive : run(name, peers[name as Compression].best, archive);
  };

  it('reads every sequence of raw and compressed archives, padded or not', () => {
    const names = ['none', ...compressions];
    const packed = Object.fromEntries(names.map((name) => [name, packedByPeer(name)]));
    for (const first of names) {
      for (const second of names) {
        for (const third of names) {
          const parts = [first, second, third].flatMap((name) => {
            const bytes = packed[name] ?? Buffer.alloc(0);
            return [bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)];
          });
          const members = readArchives(Buffer.concat([...parts, Buffer.alloc(512)]));
          expect(members.map(({ data }) => String(data)).join()).toBe(
            [first, first, second, second, third, third].join(),
          );
          expect(texts(members).which).toBe(third);
        }
      }
    }
  });

  it.each(compressions)('%s unpacks what is packed, and the other way around', (compression) => {
    const archive = writeArchive([file('config.ign', 'text '.repeat(5000))]);
    const { bytes } = compressSmallest(archive, { among: [compression] });
    const { program, best } = peers[compression];
    expect(run(program, ['-d', '-c'], bytes)).toEqual(archive);
    for (const options of [best, ['-1', '-c']]) {
      const theirs = run(program, options, archive);
      expect(decompress(compression, theirs, { limit: archive.length })).toEqual(archive);
    }
  });

  it('is never larger than the best of the peers', () => {
    const words = fc.constantFrom('"path":', '"/etc/kubernetes', 'kubeadm ', '{', '}', 'data:;base64,', '\\n', ': ');
    const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes).toString('base64'));
    const content = fc.array(fc.oneof({ weight: 4, arbitrary: words }, noise), { maxLength: 600 });
    fc.assert(
      fc.property(content, (parts) => {
        const archive = writeArchive([file('config.ign', parts.join(''))]);
        const best = compressions.map((each) => run(peers[each].program, peers[each].best, archive).length);
        expect(compressSmallest(archive).bytes.length).toBeLessThanOrEqual(Math.min(archive.length, ...best));
      }),
      { numRuns: 15 },
    );
  });

  it.each(['--check=none', '--check=crc64', '--check=sha256'])(
    'reads xz with %s, in one block or in several',
    (check) => {
      const archive = writeArchive([file('a', 'b')]);
      expect(readArchives(run('xz', [check, '-c'], archive))).toHaveLength(1);
      const blocks = run('xz', [check, '-0', '--block-size=64', '-c'], archive);
      expect(readArchives(blocks)).toHaveLength(1);
    },
  );
});

describeWithPeers('archives and coreos-installer', ['coreos-installer'], () => {
  it.each(['none', ...compressions] as const)('reads what is packed with %s', async (packing) => {
    const archive = writeArchive([file('config.ign', '{"a":1}'), file('etc/x/y', 'deep')]);
    const { bytes } = compressSmallest(archive, { among: [packing] });
    const area = join(folder, 'ignition.img');
    await writeFile(area, Buffer.concat([bytes, Buffer.alloc(4096 - bytes.length)]));
    const listing = execFileSync('coreos-installer', ['dev', 'show', 'initrd', area]);
    expect(listing.toString()).toBe('config.ign\netc/x/y\n');
    const config = execFileSync('coreos-installer', ['pxe', 'ignition', 'unwrap', area]);
    expect(config.toString()).toBe('{"a":1}');
  });

  it('writes the same bytes before compression, and no larger ones after it', async () => {
    const keyfile = join(folder, 'eth0.nmconnection');
    const [base, output] = [join(folder, 'base.img'), join(folder, 'custom.img')];
    await writeFile(keyfile, '[connection]\nid=eth0\ninterface-name=eth0\ntype=ethernet\n');
    await writeFile(base, writeArchive([]));
    execFileSync('coreos-installer', ['pxe', 'network', 'wrap', '-k', keyfile, '-o', output]);
    const theirs = readArchives(await readFile(output));
    expect(theirs.map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
      ['etc', '40755'],
      ['etc/coreos-firstboot-network', '40755'],
      ['etc/coreos-firstboot-network/eth0.nmconnection', '100600'],
    ]);
    const unpacked = decompress('xz', await readFile(output), { limit: maxBuffer });
    expect(writeArchive(theirs)).toEqual(unpacked);
    const ours = compressSmallest(unpacked, { among: ['xz'] }).bytes;
    expect(ours.length).toBeLessThanOrEqual((await readFile(output)).length);
  });
});
