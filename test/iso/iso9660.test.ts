import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesReader } from '../../src/io/reader.ts';
import { openIsoFileSystem } from '../../src/iso/index.ts';
import { buildIso } from './iso-builder.ts';

const SECTOR = 2048;
const tree = new Map([
  ['COREOS/KARGS.JSO', Buffer.from('kargs')],
  ['IMAGES/PXEBOOT/ROOTFS.IMG', Buffer.alloc(5000, 'r')],
  ['IMAGES/EMPTY.IMG', Buffer.alloc(0)],
]);

async function open(image: Buffer) {
  return openIsoFileSystem(bytesReader('test.iso', image));
}

describe('the ISO 9660 reader', () => {
  it('finds files whatever the case of their names, with and without versions', async () => {
    for (const lowerCase of [false, true]) {
      const { image, places } = buildIso(tree, { volumeId: 'fedora-coreos-43', lowerCase });
      const files = await open(image);
      expect(files.volumeId).toBe('fedora-coreos-43');
      for (const path of ['COREOS/KARGS.JSO', 'coreos/kargs.jso', '/CoreOS//Kargs.jso']) {
        const entry = await files.find(path);
        expect(entry).toMatchObject({ size: 5, directory: false, offset: places.get('COREOS/KARGS.JSO') });
      }
      expect(await files.find('COREOS/NONE')).toBeUndefined();
      expect(await files.find('COREOS/KARGS.JSO/X')).toBeUndefined();
    }
  });

  it('reads contents and walks all folders', async () => {
    const files = await open(buildIso(tree).image);
    const paths: string[] = [];
    for await (const { path } of files.walk()) paths.push(path);
    expect(paths).toEqual([
      'COREOS',
      'COREOS/KARGS.JSO',
      'IMAGES',
      'IMAGES/EMPTY.IMG',
      'IMAGES/PXEBOOT',
      'IMAGES/PXEBOOT/ROOTFS.IMG',
    ]);
    const entry = await files.find('images/pxeboot/rootfs.img');
    const file = entry && files.open(entry);
    expect(await file?.read(4990, 10)).toEqual(Buffer.alloc(10, 'r'));
    await expect(file?.read(4990, 11)).rejects.toThrow('ROOTFS.IMG in test.iso is truncated or damaged');
  });

  it('reads folders of several sectors', async () => {
    const many = new Map(Array.from({ length: 150 }, (_, index) => [`DIR/FILE${index}.DAT`, Buffer.from(`${index}`)]));
    const files = await open(buildIso(many).image);
    for (const index of [0, 60, 149]) expect(await files.find(`dir/file${index}.dat`)).toBeDefined();
  });

  it('names a file that is no ISO, or ends early', async () => {
    await expect(open(Buffer.alloc(100))).rejects.toThrow('test.iso is not an ISO 9660 image');
    await expect(open(Buffer.alloc(40 * SECTOR))).rejects.toThrow('test.iso is not an ISO 9660 image');
    const { image } = buildIso(tree);
    await expect(open(image.subarray(0, image.length - 1))).rejects.toThrow(
      /test\.iso is truncated: .* fetch it again/,
    );
  });

  it('refuses what leads outside of the image', async () => {
    const { image, places } = buildIso(tree);
    image.writeUInt32LE(1_000_000, (places.get('COREOS') ?? 0) + 68 + 2);
    const files = await open(image);
    await expect(files.find('COREOS/KARGS.JSO')).rejects.toThrow(/"KARGS\.JSO" \(5 bytes at 2048000000\) lies outside/);
  });

  it('refuses folders that contain themselves', async () => {
    const { image, places } = buildIso(tree);
    image.writeUInt32LE((places.get('IMAGES') ?? 0) / SECTOR, (places.get('IMAGES') ?? 0) + 68 + 44 + 2);
    const files = await open(image);
    const walking = async () => {
      for await (const _ of files.walk());
    };
    await expect(walking()).rejects.toThrow('contains itself');
  });

  it('refuses a folder of absurd size', async () => {
    const { image } = buildIso(tree);
    image.writeUInt32LE(8 * 1024 * 1024, 16 * SECTOR + 156 + 10);
    await expect(open(image)).rejects.toThrow('truncated or damaged');
  });

  it('ends with an answer or an error whatever bits are flipped', async () => {
    const { image } = buildIso(tree);
    const flips = fc.array(fc.tuple(fc.nat(image.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(flips, fc.nat(image.length), async (changes, length) => {
        const hostile = Buffer.from(image.subarray(0, length > image.length / 2 ? image.length : length));
        // Most of the image is contents: half of the changes go where the structures are.
        for (const [index, [place, value]] of changes.entries()) {
          const target = index % 2 === 0 ? 16 * SECTOR + (place % (8 * SECTOR)) : place;
          if (target < hostile.length) hostile[target] = value;
        }
        try {
          const files = await open(hostile);
          let count = 0;
          for await (const _ of files.walk()) count++;
          expect(count).toBeLessThanOrEqual(100_000);
        } catch (error) {
          expect((error as Error).message).toMatch(/^test\.iso |^"/);
          expect(error).toBeInstanceOf(Error);
          expect(error).not.toBeInstanceOf(RangeError);
          expect(error).not.toBeInstanceOf(TypeError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
