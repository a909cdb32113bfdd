import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import fc from 'fast-check';
import { extract, type Header, pack } from 'tar-stream';
import { describe, expect, it } from 'vitest';
import { TAR_END, type TarHeader, tarHeader, tarPadding } from '../../src/container/tar.ts';

/** What tar-stream writes for an entry, its end included. */
async function libraryBytes({ name, type, mode, time, size, target }: TarHeader): Promise<Buffer> {
  const archive = pack();
  const common = { name, mode, mtime: new Date(time * 1000), uid: 0, gid: 0, uname: '', gname: '' };
  if (type === 'file') archive.entry({ ...common, type }, Buffer.alloc(size, 'x'));
  else if (type === 'directory') archive.entry({ ...common, type });
  else archive.entry({ ...common, type: 'symlink', linkname: target ?? '' });
  archive.finalize();
  return buffer(archive as unknown as Readable);
}

function ourBytes(header: TarHeader): Buffer {
  return Buffer.concat([tarHeader(header), Buffer.alloc(header.size, 'x'), tarPadding(header.size), TAR_END]);
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
    ['a folder', { name: 'src/folder/', type: 'directory', mode: 0o755, size: 0 }],
    ['a link', { type: 'link', mode: 0o777, size: 0, target: '../b' }],
    ['a link whose target is too long', { type: 'link', mode: 0o777, size: 0, target: 'x'.repeat(101) }],
    ['a name that fits', { name: 'x'.repeat(100) }],
    ['a name in two fields', { name: `${'d'.repeat(60)}/${'e'.repeat(60)}/${'f'.repeat(60)}` }],
    ['a name in two full fields', { name: `${'d'.repeat(155)}/${'f'.repeat(100)}` }],
    ['a name that is too long for that', { name: `${'d'.repeat(156)}/${'f'.repeat(100)}` }],
    ['a last part that is too long', { name: `d/${'f'.repeat(101)}` }],
    ['a name that is not ASCII', { name: 'src/ä ö ü' }],
    ['the epoch', { time: 0 }],
  ])('of %s is the one that other programs write', async (_, changes) => {
    const header = { ...file, ...changes };
    expect(ourBytes(header).equals(await libraryBytes(header))).toBe(true);
  });

  it('can be read back, whatever is in it', async () => {
    const part = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 120 })
      .map((text) => text.replace(/[/\0\n]/g, '_'));
    const header = fc.record({
      name: fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/')),
      time: fc.nat({ max: 8 ** 11 - 1 }),
      size: fc.nat(2000),
    });
    await fc.assert(
      fc.asyncProperty(header, async ({ name, time, size }) => {
        const bytes = ourBytes({ ...file, name, time, size });
        expect(bytes.length % 512).toBe(0);
        const back = await readBack(bytes);
        expect([back.name, back.mtime?.getTime(), back.size]).toEqual([name, time * 1000, size]);
      }),
      { numRuns: 100 },
    );
  });

  it('has a record for a size that its field does not hold', async () => {
    const bytes = tarHeader({ ...file, size: 8 ** 11 });
    expect((await readBack(Buffer.concat([bytes, TAR_END]))).pax).toMatchObject({ size: '8589934592' });
  });
});
