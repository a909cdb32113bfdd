import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ArchiveMember,
  ArchivesReader,
  compressSmallest,
  filesOf,
  readArchives,
  writeArchive,
} from '../../src/archive/index.ts';

const file = (path: string, text: string, mode = 0o100600): ArchiveMember => ({ path, mode, data: Buffer.from(text) });

/** An entry with any header, written independently of the code under test. */
function rawEntry(name: string, data = '', fields: Record<number, number> = {}, magic = '070701'): Buffer {
  const numbers = [1, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const text = numbers.map((number, index) => (fields[index] ?? number).toString(16).padStart(8, '0')).join('');
  const head = Buffer.from(`${magic}${text}${name}\0`);
  const pad = (size: number) => Buffer.alloc((4 - (size % 4)) % 4);
  return Buffer.concat([head, pad(head.length), Buffer.from(data), pad(data.length)]);
}
const trailer = rawEntry('TRAILER!!!', '', { 1: 0 });
const summary = (members: readonly ArchiveMember[]) =>
  members.map(({ path, mode, data }) => [path, mode, Buffer.from(data).toString()]);

describe('writeArchive', () => {
  it('adds missing parents once, sorts by bytes, and depends on nothing else', () => {
    const members = [file('c/f', ''), file('a-b', ''), file('c/a/d', 'x'), file('a/b', '', 0o100755), file('d', '')];
    const archive = writeArchive(members);
    expect(readArchives(archive).map(({ path, mode }) => [path, mode.toString(8)])).toEqual([
      ['a', '40755'],
      ['a-b', '100600'],
      ['a/b', '100755'],
      ['c', '40755'],
      ['c/a', '40755'],
      ['c/a/d', '100600'],
      ['c/f', '100600'],
      ['d', '100600'],
    ]);
    expect(writeArchive(members.toReversed())).toEqual(archive);
  });

  it('numbers inodes, leaves times and owners at zero, and pads to four bytes', () => {
    const archive = writeArchive([file('one', '12345')]);
    expect(archive).toEqual(
      Buffer.concat([rawEntry('one', '12345', { 0: 0, 1: 0o100600 }), rawEntry('TRAILER!!!', '', { 0: 0, 1: 0 })]),
    );
  });

  it('keeps the mode of a directory that is given, and the last of equal paths', () => {
    const members = [file('d/f', 'old'), { path: 'd', mode: 0o040700, data: Buffer.alloc(0) }, file('d/f', 'new')];
    expect(summary(readArchives(writeArchive(members)))).toEqual([
      ['d', 0o040700, ''],
      ['d/f', 0o100600, 'new'],
    ]);
  });

  it.each(['', '/etc/x', 'a//b', 'a/', './a', 'a/../b', '..', 'a\0b', 'TRAILER!!!', 'x'.repeat(4096)])(
    'refuses the path %j',
    (path) => {
      expect(() => writeArchive([file(path, '')])).toThrow(/can't hold a file named .* relative to the root/);
    },
  );

  it('refuses a file inside a file', () => {
    expect(() => writeArchive([file('a', ''), file('a/b', '')])).toThrow(
      'An archive can\'t hold "a/b", because "a" is no directory',
    );
  });

  it('gives back whatever it was given', () => {
    const name = fc.stringMatching(/^[a-zA-Z0-9äß_-]{1,12}$/);
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const files = fc.dictionary(path, fc.uint8Array({ maxLength: 50 }), { noNullPrototype: true });
    fc.assert(
      fc.property(files, (contents) => {
        const paths = Object.keys(contents);
        fc.pre(!paths.some((a) => paths.some((b) => b.startsWith(`${a}/`))));
        const members = Object.entries(contents).map(([path, data]) => ({ path, mode: 0o100600, data }));
        const read = filesOf(readArchives(writeArchive(members)));
        expect(new Map([...read].map(([path, data]) => [path, [...data]]))).toEqual(
          new Map(Object.entries(contents).map(([path, data]) => [path, [...data]])),
        );
      }),
    );
  });
});

describe('readArchives on raw archives', () => {
  it('gives nothing for an empty or zeroed area', () => {
    expect(readArchives(new Uint8Array())).toEqual([]);
    expect(readArchives(new Uint8Array(262_144))).toEqual([]);
  });

  it('reads archives in a row, with zeros around them', () => {
    const bytes = Buffer.concat([
      Buffer.alloc(4),
      writeArchive([file('a', '1')]),
      Buffer.alloc(512),
      writeArchive([file('a', '2'), file('b', '3')]),
      Buffer.alloc(100),
    ]);
    const members = readArchives(bytes);
    expect(members.map(({ path }) => path)).toEqual(['a', 'a', 'b']);
    expect([...filesOf(members)].map(([path, data]) => [path, String(data)])).toEqual([
      ['a', '2'],
      ['b', '3'],
    ]);
  });

  it('gives every name of a hard link the data', () => {
    const bytes = Buffer.concat([
      rawEntry('first', '', { 0: 7, 4: 3 }),
      rawEntry('other', 'x', { 0: 8, 4: 2 }),
      rawEntry('second', '', { 0: 7, 4: 3 }),
      rawEntry('third', 'data', { 0: 7, 4: 3 }),
      trailer,
      // Links don't reach into the next archive.
      rawEntry('fourth', '', { 0: 7, 4: 3 }),
      trailer,
    ]);
    expect(summary(readArchives(bytes)).map(([path, , data]) => [path, data])).toEqual([
      ['first', 'data'],
      ['other', 'x'],
      ['second', 'data'],
      ['third', 'data'],
      ['fourth', ''],
    ]);
  });

  it('reads names padded with NULs, links, directories and sums', () => {
    const padded = rawEntry(`dir/x${'\0'.repeat(200)}`, 'z');
    const link = rawEntry('link', 'target', { 1: 0o120777 });
    const summed = rawEntry('summed', 'ab', { 12: 0x61 + 0x62 }, '070702');
    expect(summary(readArchives(Buffer.concat([padded, link, summed, trailer])))).toEqual([
      ['dir/x', 0o100644, 'z'],
      ['link', 0o120777, 'target'],
      ['summed', 0o100644, 'ab'],
    ]);
  });

  it.each([
    ['a size beyond the end', rawEntry('a', 'x', { 6: 0xffffffff }), /"a" has 4294967295 bytes, more than there are/],
    ['a name beyond the end', rawEntry('a', '', { 11: 4000 }), /ends in a name/],
    ['an endless name', rawEntry('a', '', { 11: 0xffffffff }), /a name can't have 4294967295 bytes/],
    ['no name', rawEntry('a', '', { 11: 0 }), /a name can't have 0 bytes/],
    ['an empty name', rawEntry('\0', ''), /a name is empty/],
    ['no trailer', rawEntry('a', 'x'), /ends without a trailer \(header at offset 116\)/],
    ['garbage in a number', Buffer.from(rawEntry('a').toString().replace('00', '0x')), /not hexadecimal/],
    ['an unfinished header', rawEntry('a').subarray(0, 50), /ends without a trailer/],
    [
      'garbage for a header',
      Buffer.concat([rawEntry('a', 'x'), Buffer.alloc(200, 'y')]),
      /"yyyyyy" is no "newc" header/,
    ],
    ['a wrong sum', Buffer.concat([rawEntry('a', 'x', { 12: 1 }, '070702'), trailer]), /the sum of "a" is wrong/],
    ['an odd start', Buffer.concat([Buffer.alloc(3), trailer]), /at offset 3 must begin at a multiple of four/],
    ['the old binary format', Buffer.from('070707000000'), /neither an archive nor a known compression at offset 0/],
  ])('refuses %s', (_title, bytes, message) => {
    expect(() => readArchives(bytes)).toThrow(message);
  });

  it('forgets a file that something else replaces', () => {
    const members = readArchives(
      Buffer.concat([writeArchive([file('a', 'x')]), rawEntry('./a', 'elsewhere', { 1: 0o120777 }), trailer]),
    );
    expect(filesOf(members)).toEqual(new Map());
  });

  it('gives the same however it is cut, and keeps only what is wanted', () => {
    const archives = Buffer.concat([
      Buffer.alloc(4),
      rawEntry('./a', 'one'),
      rawEntry('linked', '', { 0: 7, 4: 2 }),
      rawEntry('b', 'data', { 0: 7, 4: 2 }),
      trailer,
      Buffer.alloc(512),
      writeArchive([file('c', 'three'), file('etc/d', 'four')]),
      compressSmallest(writeArchive([file('e', 'five')]), { among: ['xz'] }).bytes,
    ]);
    const keeps = (path: string) => path === 'a' || path === 'etc/d' || path === 'e';
    fc.assert(
      fc.property(fc.array(fc.nat(archives.length), { maxLength: 30 }), (cuts) => {
        const reader = new ArchivesReader({ keeps });
        const ends = [...cuts, archives.length].sort((a, b) => a - b);
        ends.forEach((end, i) => {
          reader.feed(archives.subarray(ends[i - 1] ?? 0, end));
        });
        expect(summary(reader.finish()).map(([path, , data]) => [path, data])).toEqual([
          ['./a', 'one'],
          ['linked', 'data'],
          ['b', 'data'],
          ['c', ''],
          ['etc', ''],
          ['etc/d', 'four'],
          ['e', 'five'],
        ]);
      }),
    );
  });

  it('survives any bytes', () => {
    const archive = writeArchive([file('config.ign', '{}'), file('etc/x/y', 'text')]);
    const changes = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 5 });
    fc.assert(
      fc.property(changes, fc.nat(archive.length), (edits, length) => {
        const bytes = Buffer.from(archive);
        for (const [offset, value] of edits) bytes[offset] = value;
        try {
          for (const { data } of readArchives(bytes.subarray(0, length))) expect(data.length).toBeLessThan(length);
        } catch (error) {
          expect(error).toBeInstanceOf(Error);
          expect((error as Error).message).toMatch(/offset \d+/);
        }
      }),
      { numRuns: 500 },
    );
  });
});
