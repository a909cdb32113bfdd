import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command as extractIso } from '../../src/commands/extract-iso.ts';
import { type Given, runCommand } from '../iso/run-command.ts';
import { describeWithPeers } from '../support/peers.ts';
import { makeIso, REAL_ISOS, realIso } from './iso-images.ts';

describeWithPeers('extracting as coreos-installer does', ['coreos-installer', 'genisoimage', 'isohybrid'], () => {
  const folder = mkdtempSync(join(tmpdir(), 'k4all-extract-'));
  const at = (name: string) => join(folder, name);
  const extract = (given: Given) => runCommand(extractIso, given, folder);

  beforeAll(() => {
    const large = createHash('shake256', { outputLength: 3_000_000 }).update('rootfs').digest();
    const full = makeIso(
      folder,
      'igninfo',
      (tree) => tree.set('images/pxeboot/rootfs.img', large).set('coreos/miniso.dat', Buffer.alloc(16_384)),
      'full',
    );
    const minimal = makeIso(folder, 'igninfo', (tree) => tree.delete('images/pxeboot/rootfs.img'), 'minimal');
    execFileSync('coreos-installer', ['pack', 'minimal-iso', full, minimal], { stdio: 'pipe' });
    for (const name of REAL_ISOS) realIso(folder, name);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each(['full', ...REAL_ISOS])('PXE files of %s', async (name) => {
    const theirs = `${name}-theirs`;
    execFileSync('coreos-installer', ['iso', 'extract', 'pxe', '-o', theirs, `${name}.iso`], {
      cwd: folder,
      stdio: 'pipe',
    });
    const { outputs } = await extract({ iso: [`${name}.iso`], 'output-dir': [`${name}-ours`] });
    const files = outputs.files as { path: string; size: number; sha256: string }[];
    expect(readdirSync(at(`${name}-ours`)).sort()).toEqual(readdirSync(at(theirs)).sort());
    for (const { path, size, sha256 } of files) {
      const bytes = readFileSync(at(path));
      expect(bytes.equals(readFileSync(at(path.replace('-ours', '-theirs'))))).toBe(true);
      expect([size, sha256]).toEqual([bytes.length, createHash('sha256').update(bytes).digest('hex')]);
    }
    await expect(extract({ iso: [`${name}.iso`], 'output-dir': [`${name}-ours`] })).rejects.toThrow('exists already');
    await extract({ iso: [`${name}.iso`], 'output-dir': [`${name}-ours`], force: ['true'] });
  });

  it.each(['full', ...REAL_ISOS])('the minimal ISO of %s', async (name) => {
    for (const url of [[], ['https://example.com/rootfs.img']]) {
      rmSync(at('theirs.iso'), { force: true });
      const flags = url.map((value) => `--rootfs-url=${value}`);
      const argv = ['iso', 'extract', 'minimal-iso', ...flags, `${name}.iso`, 'theirs.iso'];
      const { status } = spawnSync('coreos-installer', argv, { cwd: folder, stdio: 'pipe' });
      const given = {
        iso: [`${name}.iso`],
        parts: ['minimal-iso'],
        'rootfs-url': url,
        'output-dir': ['m'],
        force: ['true'],
      };
      const { outputs } = await extract(given).catch((error: Error) => {
        if (status === 0) throw error;
        return { outputs: undefined };
      });
      expect(outputs === undefined).toBe(status !== 0);
      if (!outputs) continue;
      const bytes = readFileSync(at(`m/${name}-minimal.iso`));
      expect(bytes.equals(readFileSync(at('theirs.iso')))).toBe(true);
      expect(outputs.files).toEqual([
        { path: `m/${name}-minimal.iso`, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
      ]);
    }
  });

  it('refuses a customised or damaged ISO, and leaves nothing', async () => {
    mkdirSync(at('none'));
    const parts = { parts: ['minimal-iso'], 'output-dir': ['none'] };
    copyFileSync(at('full.iso'), at('custom.iso'));
    execFileSync('coreos-installer', ['iso', 'kargs', 'modify', '-a', 'x', 'custom.iso'], {
      cwd: folder,
      stdio: 'pipe',
    });
    await expect(extract({ iso: ['custom.iso'], ...parts })).rejects.toThrow('is customised');
    const damaged = readFileSync(at('full.iso'));
    const kernel = damaged.indexOf('kernel\n');
    damaged.write('KERNEL', kernel);
    writeFileSync(at('damaged.iso'), damaged);
    await expect(extract({ iso: ['damaged.iso'], ...parts })).rejects.toThrow('the ISO is damaged');
    await expect(extract({ iso: ['minimal.iso'], ...parts })).rejects.toThrow('it has no coreos/miniso.dat');
    await expect(extract({ iso: ['full.iso'], ...parts, 'rootfs-url': ['a b'] })).rejects.toThrow(
      'a URL holds no blanks',
    );
    await expect(extract({ iso: ['full.iso'], 'rootfs-url': ['a'] })).rejects.toThrow('belongs to the minimal ISO');
    expect(readdirSync(at('none'))).toEqual([]);
  });
});
