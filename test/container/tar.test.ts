import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { extract, type Header, pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { TAR_END, type TarHeader, tarHeader, tarPadding } from '../../src/container/tar.ts';

async function archiveOf(header: TarHeader): Promise<Buffer> {
  return Buffer.concat([await tarHeader(header), Buffer.alloc(header.size, 'x'), tarPadding(header.size), TAR_END]);
}

/** What tar-stream writes for a file, its end included. */
async function libraryArchive({ name, mode, time, size }: TarHeader): Promise<Buffer> {
  const archive = pack();
  const mtime = new Date(time * 1000);
  archive.entry({ name, mode, mtime, uid: 0, gid: 0, uname: '', gname: '' }, Buffer.alloc(size, 'x'));
  archive.finalize();
  return buffer(archive as unknown as Readable);
}

/** The header that tar-stream reads. */
async function readBack(bytes: Buffer): Promise<Header> {
  const reader = extract();
  Readable.from([bytes]).pipe(reader);
  for await (const entry of reader) {
    entry.resume();
    return entry.header;
  }
  throw new Error('there is no entry');
}

const file: TarHeader = { name: 'src/a', type: 'file', mode: 0o644, time: 1709204400, size: 5 };

describe('a tar header', () => {
  it.each<[string, Partial<TarHeader>]>([
    ['an executable', { mode: 0o755, size: 1000 }],
    ['an empty file', { size: 0 }],
    ['a name in two fields', { name: `${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(60)}` }],
    ['a name that needs a header of its own', { name: `d/${'f'.repeat(101)}` }],
    ['a name that is not ASCII', { name: 'src/ä ö ü' }],
    ['the epoch', { time: 0 }],
  ])('of %s stands where the library puts it', async (_, changes) => {
    const header = { ...file, ...changes };
    expect((await archiveOf(header)).equals(await libraryArchive(header))).toBe(true);
  });

  it('of a folder and of a link can be read back', async () => {
    const folder = { ...file, name: 'src/folder/', type: 'directory', mode: 0o755, size: 0 } as const;
    expect(await readBack(await archiveOf(folder))).toMatchObject({
      name: folder.name,
      type: 'directory',
      mode: 0o755,
    });
    const link = { ...file, type: 'symlink', mode: 0o777, size: 0, target: `../${'x'.repeat(200)}` } as const;
    expect(await readBack(await archiveOf(link))).toMatchObject({
      type: 'symlink',
      linkname: link.target,
      mode: 0o777,
    });
  });

  it('can be read back, whatever is in it', async () => {
    const part = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 120 })
      .map((text) => text.replace(/[/\0\n]/g, '_'));
    const header = fc.record({
      name: fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
      time: fc.nat({ max: 2 ** 31 - 1 }),
      size: fc.nat(2000),
    });
    await fc.assert(
      fc.asyncProperty(header, async ({ name, time, size }) => {
        const bytes = await archiveOf({ ...file, name, time, size });
        expect(bytes.length % 512).toBe(0);
        const back = await readBack(bytes);
        expect([back.name, back.mtime?.getTime(), back.size]).toEqual([name, time * 1000, size]);
      }),
      { numRuns: 100 },
    );
  });

  it('holds any size', async () => {
    const bytes = await tarHeader({ ...file, size: 8 ** 11 });
    expect((await readBack(Buffer.concat([bytes, TAR_END]))).size).toBe(8 ** 11);
  });
});
