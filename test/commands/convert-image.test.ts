import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { command } from '../../src/commands/convert-image.ts';
import { parseInputs } from '../../src/commands/inputs.ts';
import { terminalHost } from '../../src/host/terminal.ts';
import { UsageError } from '../../src/io/errors.ts';
import { KiB, MiB } from '../../src/io/sizes.ts';
import { expectSame, noise, temporaryFolder } from '../support/disk.ts';

interface File {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly format: string;
}

async function convert(cwd: string, inputs: Record<string, string>): Promise<File[]> {
  const signal = new AbortController().signal;
  const host = terminalHost({ env: {}, cwd, signal, stderr: { write: () => true, isTTY: false, columns: 80 } });
  const given = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, [value]]));
  return (await command.run(parseInputs(command.inputs, given), host)).files as File[];
}

describe('convert-image', () => {
  it('writes QCOW2 and VDI by default, named like the image, with digest and size', async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.path('node.v1.raw'), noise(MiB + 100));
    const files = await convert(folder.path('.'), { image: 'node.v1.raw', 'disk-size': '60G' });
    expect(files.map(({ path, format }) => [path, format])).toEqual([
      ['node.v1.qcow2', 'qcow2'],
      ['node.v1.vdi', 'vdi'],
    ]);
    for (const { path, size, sha256 } of files) {
      const bytes = await readFile(folder.path(path));
      expect(size).toBe(bytes.length);
      expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
    }
    const header = await readFile(folder.path('node.v1.qcow2'));
    expect(header.readBigUInt64BE(24)).toBe(60n * 1024n ** 3n);
  });

  it('goes through every format and compression and back to the same bytes, rounded up to a sector', async () => {
    await using folder = await temporaryFolder();
    const bytes = Buffer.concat([noise(200 * KiB), Buffer.alloc(2 * MiB), Buffer.alloc(300_000, 'abc'), noise(1)]);
    await writeFile(folder.path('disk.img'), bytes);
    for (const [from, format, compression] of [
      ['disk.img', 'qcow2', 'zlib'],
      ['zlib-qcow2/disk.qcow2', 'vdi', 'none'],
      ['none-vdi/disk.vdi', 'qcow2', 'none'],
      ['none-qcow2/disk.qcow2', 'raw', 'none'],
    ] as const) {
      const inputs = { image: from, formats: format, compression, 'output-dir': `${compression}-${format}` };
      await convert(folder.path('.'), inputs);
    }
    const padding = Buffer.alloc(-bytes.length & 511);
    expectSame(await readFile(folder.path('none-raw/disk.raw')), Buffer.concat([bytes, padding]));
  });

  it('gives the same files whatever the image is called and however it is stored', async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.path('a.img'), Buffer.concat([noise(300_000), Buffer.alloc(2 * MiB), noise(512)]));
    await truncate(folder.path('a.img'), 4 * MiB);
    const first = await convert(folder.path('.'), { image: 'a.img', 'output-dir': 'one' });
    const second = await convert(folder.path('.'), { image: 'one/a.vdi', 'output-dir': 'two' });
    expect(second.map(({ sha256 }) => sha256)).toEqual(first.map(({ sha256 }) => sha256));
  });

  it('refuses a disk smaller than the image, the input as output, an existing file and missing input', async () => {
    await using folder = await temporaryFolder();
    const cwd = folder.path('.');
    await writeFile(folder.path('disk.raw'), noise(2 * MiB));
    await expect(convert(cwd, { image: 'disk.raw', 'disk-size': '1M' })).rejects.toThrow(
      /"disk-size" is 1 MiB .*"disk.raw" holds a disk of 2 MiB/,
    );
    await expect(convert(cwd, { image: 'disk.raw', formats: 'raw', force: 'true' })).rejects.toThrow(
      /"disk.raw" is the input itself/,
    );
    await writeFile(folder.path('disk.vdi'), 'precious');
    await expect(convert(cwd, { image: 'disk.raw' })).rejects.toThrow(/disk\.vdi exists already.*"force"/);
    expect(await readdir(cwd)).toEqual(['disk.raw', 'disk.vdi']);
    await expect(convert(cwd, { image: 'none.raw' })).rejects.toThrow('none.raw: there is no such file');
    const usage = convert(cwd, { image: 'disk.raw', formats: 'vdi', compression: 'zlib' });
    await expect(usage).rejects.toThrow(UsageError);
    expect((await convert(cwd, { image: 'disk.raw', force: 'true' })).length).toBe(2);
  });

  it('refuses an ISO that is not hybrid, with the way out', async () => {
    await using folder = await temporaryFolder();
    const iso = Buffer.alloc(40 * KiB);
    iso.write('\x01CD001', 32768, 'latin1');
    await writeFile(folder.path('live.iso'), iso);
    await expect(convert(folder.path('.'), { image: 'live.iso' })).rejects.toThrow(/"live.iso".*CD-ROM/);
    expect(await readdir(folder.path('.'))).toEqual(['live.iso']);
  });

  it('leaves nothing under a final name when it is killed', async () => {
    await using folder = await temporaryFolder();
    await mkdir(folder.path('out'));
    const source = resolve(import.meta.dirname, '../../src/disk/index.ts');
    const script = `
      import { imageOf, writeImage } from ${JSON.stringify(source)};
      const zeros = Buffer.alloc(1 << 20, 7);
      const source = { name: 'endless', size: 2 ** 40, read: async (_, length) => zeros.subarray(0, length) };
      const progress = { total() {}, advance() { process.stdout.write('.'); } };
      const image = imageOf([{ kind: 'range', length: source.size, source, offset: 0 }]);
      await writeImage(image, ${JSON.stringify(folder.path('out/disk.raw'))}, { progress });`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    await new Promise((started) => child.stdout.once('data', started));
    const closed = new Promise((done) => child.once('close', done));
    child.kill('SIGKILL');
    await closed;
    const left = await readdir(folder.path('out'));
    expect(left).toHaveLength(1);
    expect(left[0]).toMatch(/^\.disk\.raw\.[0-9a-f]+\.partial$/);
  });
});
