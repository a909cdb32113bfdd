import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeArchive } from '../../src/archive/index.ts';
import type { Patch } from '../../src/io/patch.ts';
import { bytesReader } from '../../src/io/reader.ts';
import { areaMeter, embed, inspectImage, openLiveIso, reset, verify } from '../../src/iso/index.ts';
import { AREA_SIZE, DEFAULT_ARGUMENTS, hasArguments, LAYOUTS, liveIsoImage, RELEASE, VOLUME_ID } from './layouts.ts';

const CONFIG = Buffer.from('{"ignition":{"version":"3.4.0"},"storage":{}}');
const files = new Map([['config.ign', CONFIG]]);

const open = (image: Buffer) => openLiveIso(bytesReader('live.iso', image));
/** For what has to fail: a success that can be printed. */
const tryOpen = async (image: Buffer) => `opened ${(await open(image)).volumeId}`;

function applied(image: Buffer, patches: readonly Patch[]): Buffer {
  const result = Buffer.from(image);
  for (const { offset, bytes } of patches) result.set(bytes, offset);
  return result;
}

describe.each(LAYOUTS)('a live ISO of layout %s', (layout) => {
  const { image } = liveIsoImage(layout);

  it('tells what it is', async () => {
    const iso = await open(image);
    expect(iso).toMatchObject({
      volumeId: VOLUME_ID,
      architecture: layout.startsWith('s390x') ? 's390x' : 'x86_64',
      coreosRelease: RELEASE,
      pristine: true,
    });
    expect(iso.ignitionArea).toMatchObject({ size: AREA_SIZE, used: 0 });
    expect(iso.kernelArguments?.text).toBe(hasArguments(layout) ? DEFAULT_ARGUMENTS : undefined);
    expect(iso.kernelArguments?.defaultText).toBe(iso.kernelArguments?.text);
  });

  it('shows what was embedded, and is reset to the original bytes', async () => {
    const iso = await open(image);
    const kernelArguments = hasArguments(layout)
      ? { append: ['one', 'two=2'], delete: ['ignition.firstboot'], replace: ['ignition.platform.id=metal=qemu'] }
      : {};
    const { patches, area } = embed(iso, { files, kernelArguments });
    const changed = applied(image, patches);
    expect(changed.length).toBe(image.length);
    await verify(bytesReader('live.iso', changed), patches);
    const shown = await inspectImage(bytesReader('live.iso', changed));
    expect(shown.ignition).toBe(CONFIG.toString());
    expect(shown.pristine).toBe(false);
    expect(shown.kernelArguments.join(' ')).toBe(
      hasArguments(layout)
        ? `mitigations=auto,nosmt coreos.liveiso=${VOLUME_ID} ignition.platform.id=qemu one two=2`
        : '',
    );
    expect(area.size).toBe(AREA_SIZE);
    const again = await open(changed);
    expect(again.ignitionArea.used).toBeGreaterThan(0);
    expect(again.ignitionArea.used).toBeLessThanOrEqual(area.used);
    expect(applied(changed, reset(again)).equals(image)).toBe(true);
  });

  it('changes nothing outside of its areas', async () => {
    const iso = await open(image);
    const { patches } = embed(iso, { files });
    const changed = applied(image, patches);
    const start = iso.ignitionArea.offset;
    expect(changed.subarray(0, start).equals(image.subarray(0, start))).toBe(true);
    const end = start + AREA_SIZE;
    expect(changed.subarray(end).equals(image.subarray(end))).toBe(true);
  });

  it('is replaced only with force, and then from the pristine ISO on', async () => {
    const { patches } = embed(await open(image), {
      files: new Map([...files, ['etc/coreos-firstboot-network/a.nmconnection', Buffer.from('[connection]\n')]]),
      kernelArguments: hasArguments(layout) ? { append: ['first'] } : {},
    });
    const customised = applied(image, patches);
    const iso = await open(customised);
    expect(() => embed(iso, { files })).toThrow('live.iso is customised already');
    const fresh = applied(image, embed(await open(image), { files }).patches);
    const replaced = applied(customised, embed(iso, { files, force: true }).patches);
    expect(replaced.equals(fresh)).toBe(true);
  });
});

describe('embedding', () => {
  const { image, places } = liveIsoImage('igninfo');

  it('says by how much an archive is too large, and which files weigh most', async () => {
    const noise = createHash('shake256', { outputLength: AREA_SIZE + 1000 })
      .update('noise')
      .digest();
    const heavy = JSON.stringify({
      ignition: { version: '3.3.0' },
      storage: { files: [{ path: '/opt/big', contents: { source: `data:;base64,${noise.toString('base64')}` } }] },
    });
    const iso = await open(image);
    const attempt = () =>
      embed(iso, {
        files: new Map([
          ['config.ign', Buffer.from(heavy)],
          ['etc/coreos-firstboot-network/a', noise.subarray(0, 200_000)],
        ]),
      });
    expect(attempt).toThrow(/has 262144 bytes, .* need \d+ bytes after compression: \d+ bytes too many/);
    expect(attempt).toThrow(/config\.ign: \/opt\/big\n.*etc\/coreos-firstboot-network\/a/);
  });

  it('refuses what unpacks to more than can be read again', async () => {
    const iso = await open(image);
    const attempt = () => embed(iso, { files: new Map([['config.ign', Buffer.alloc(64 * 1024 ** 2 + 1)]]) });
    expect(attempt).toThrow('may unpack to 67108864 bytes at most');
  });

  it('says by how much kernel arguments are too long', async () => {
    const iso = await open(image);
    const size = iso.kernelArguments?.size ?? 0;
    const fitting = 'x'.repeat(size - DEFAULT_ARGUMENTS.length - 2);
    expect(embed(iso, { files, kernelArguments: { append: [fitting] } })).toBeDefined();
    expect(() => embed(iso, { files, kernelArguments: { append: [`${fitting}x`] } })).toThrow(
      `need ${size + 1} bytes, but the ISO's areas have ${size}: they are 1 too long`,
    );
  });

  it('refuses kernel arguments where the ISO has no areas for them', async () => {
    const iso = await open(liveIsoImage('plain').image);
    expect(() => embed(iso, { files, kernelArguments: { append: ['x'] } })).toThrow(
      'has no areas for kernel arguments',
    );
  });

  it('notices when what was written is not what is read back', async () => {
    const { patches } = embed(await open(image), { files });
    await expect(verify(bytesReader('live.iso', image), patches)).rejects.toThrow('live.iso: what was read back');
  });

  it('takes zstd only where the kernel is known to unpack it', async () => {
    // Random hexadecimal digits of a length that zstd just gets into the area, and xz just doesn't.
    const digits = Array.from({ length: 510_000 / 64 }, (_, i) => createHash('sha256').update(`${i}`).digest('hex'));
    const files = new Map([['config.ign', Buffer.from(digits.join(''))]]);
    const { patches } = embed(await open(liveIsoImage('igninfo').image), { files });
    expect(patches[0]?.bytes[0]).toBe(0x28);
    const plain = await open(liveIsoImage('plain').image);
    expect(() => embed(plain, { files })).toThrow(/bytes too many/);
  });

  it('draws a meter', () => {
    expect(areaMeter({ used: 65_536, size: 262_144 })).toBe(
      'Ignition area █████░░░░░░░░░░░░░░░ 25.0 % (64 KiB of 256 KiB)',
    );
  });

  it('refuses areas whose kernel arguments disagree', async () => {
    const damaged = Buffer.from(image);
    damaged.write('Mitigations', (places.get('EFI/fedora/grub.cfg') ?? 0) + 970);
    await expect(tryOpen(damaged)).rejects.toThrow(/boot files disagree: "Mitigations.* but "mitigations.* at offset/);
  });
});

describe('damaged metadata', () => {
  const attempt = (path: string, json: unknown) => {
    const text = typeof json === 'string' ? json : JSON.stringify(json);
    return tryOpen(liveIsoImage('igninfo', (tree) => tree.set(path, Buffer.from(text))).image);
  };

  it.each([
    ['text', 'not JSON', 'IGNINFO.JSO in live.iso is not JSON'],
    ['another type', [1], 'lacks "file"'],
    ['a missing file', { file: 'images/none.img' }, 'names "images/none.img", which isn\'t on the ISO'],
    ['an offset outside', { file: 'images/ignition.img', offset: 1 << 20 }, 'lies outside of "images/ignition.img"'],
    [
      'a length outside',
      { file: 'images/ignition.img', length: AREA_SIZE + 1 },
      'lies outside of "images/ignition.img"',
    ],
    ['a negative offset', { file: 'images/ignition.img', offset: -1 }, 'has a wrong "offset"'],
    ['a folder', { file: 'images' }, 'is a folder'],
  ])('igninfo.json with %s', async (_, json, message) => {
    await expect(attempt('coreos/igninfo.json', json)).rejects.toThrow(message);
  });

  const areas = [{ path: 'EFI/fedora/grub.cfg', offset: 970 }];
  it.each([
    ['no files', { default: 'a', size: 100 }, 'lacks "default", "files" or "size"'],
    ['no areas', { default: 'a', size: 100, files: [] }, 'names no kernel-argument area'],
    ['an absurd size', { default: 'a', size: 4096, files: areas }, 'claim 4096 bytes; at most 2048'],
    ['a size of 0', { default: '', size: 0, files: areas }, 'claim 0 bytes'],
    ['too long a default', { default: 'a'.repeat(101), size: 100, files: areas }, 'default text longer than its areas'],
    ['a missing file', { default: 'a', size: 100, files: [{ path: 'x/y', offset: 0 }] }, 'names "x/y"'],
    ['an offset outside', { default: 'a', size: 100, files: [{ ...areas[0], offset: 1e6 }] }, 'outside of "EFI/fedora'],
    ['a long pad', { default: 'a', size: 100, files: [{ ...areas[0], pad: '##' }] }, '"pad" or "end"'],
  ])('kargs.json with %s', async (_, json, message) => {
    await expect(attempt('coreos/kargs.json', json)).rejects.toThrow(message);
  });

  it('no Ignition area at all', async () => {
    const { image } = liveIsoImage('plain', (tree) => tree.delete('images/ignition.img'));
    await expect(tryOpen(image)).rejects.toThrow('live.iso is not a CoreOS live ISO');
  });

  it('a header that points outside', async () => {
    const { image } = liveIsoImage('header');
    const field = 32768 - 24 - 72 + 24;
    image.writeBigUInt64LE(0xffff_ffff_ffff_fff0n, field);
    await expect(tryOpen(image)).rejects.toThrow('lies outside of the file');
  });

  it('areas that overlap', async () => {
    const { image, places } = liveIsoImage('header');
    image.writeBigUInt64LE(BigInt((places.get('images/ignition.img') ?? 0) + 10), 32768 - 24 - 72 + 32);
    await expect(tryOpen(image)).rejects.toThrow(/disagree|overlap/);
  });

  it('an archive that unpacks to more than 64 MiB', async () => {
    const { image, places } = liveIsoImage('igninfo');
    const bomb = gzipSync(writeArchive([{ path: 'config.ign', mode: 0o100600, data: Buffer.alloc(65 * 1024 ** 2) }]));
    bomb.copy(image, places.get('images/ignition.img') ?? 0);
    await expect(inspectImage(bytesReader('live.iso', image))).rejects.toThrow(/can't be unpacked: .*64 MiB/);
  });

  it('a corrupt archive, which can still be replaced or reset', async () => {
    const { image, places } = liveIsoImage('igninfo');
    const damaged = Buffer.from(image);
    damaged.write('070701 this is no archive', places.get('images/ignition.img') ?? 0);
    const iso = await open(damaged);
    expect(() => iso.ignitionArea.unpack()).toThrow("live.iso: its Ignition area can't be unpacked");
    expect(applied(damaged, reset(iso)).equals(image)).toBe(true);
    expect(embed(iso, { files, force: true })).toBeDefined();
  });
});

describe('the architecture', () => {
  const withKernel = (kernel: Buffer) => {
    const { image } = liveIsoImage('igninfo', (tree) => {
      for (const path of [...tree.keys()]) if (path.startsWith('isolinux/')) tree.delete(path);
      const json = { default: DEFAULT_ARGUMENTS, size: 1139, files: [{ path: 'EFI/fedora/grub.cfg', offset: 970 }] };
      tree.set('coreos/kargs.json', Buffer.from(JSON.stringify(json)));
      tree.set('images/pxeboot/vmlinuz', kernel);
    });
    return open(image);
  };
  const kernel = (write: (bytes: Buffer) => void) => {
    const bytes = Buffer.alloc(4096);
    write(bytes);
    return bytes;
  };

  it.each([
    ['aarch64', kernel((bytes) => bytes.write('ARMd', 0x38))],
    ['x86_64', kernel((bytes) => bytes.write('HdrS', 0x202))],
    ['ppc64le', kernel((bytes) => bytes.write('\x7fELF\x02\x01', 'latin1') && bytes.writeUInt16LE(21, 18))],
    [
      'aarch64',
      kernel((bytes) => bytes.write('MZ') && bytes.writeUInt32LE(64, 0x3c) && bytes.writeUInt16LE(0xaa64, 68)),
    ],
  ])('is told by the kernel: %s', async (architecture, bytes) => {
    expect((await withKernel(bytes)).architecture).toBe(architecture);
  });

  it('is told by the UEFI image', async () => {
    const { image } = liveIsoImage('igninfo', (tree) => {
      for (const path of [...tree.keys()]) if (path.startsWith('isolinux/')) tree.delete(path);
      tree.set('coreos/kargs.json', Buffer.from(JSON.stringify({ default: 'a', size: 9, files: [] })));
      tree.delete('coreos/kargs.json');
      tree.set('images/efiboot.img', Buffer.from('……BOOTAA64EFI'));
    });
    expect((await open(image)).architecture).toBe('aarch64');
  });
});

describe('real ISOs', () => {
  it.each(['2022-02', '2023-07.s390x', '2023-07.x86_64'])('%s is embedded, shown and reset', async (name) => {
    const { decompressXz } = await import('../../src/archive/index.ts');
    const packed = await readFile(join(import.meta.dirname, `../data/iso/embed-areas-${name}.iso.xz`));
    const image = Buffer.from(await decompressXz(packed, { limit: 2 ** 24 }));
    const iso = await open(image);
    expect(iso.pristine).toBe(true);
    const { patches } = embed(iso, { files, kernelArguments: { append: ['coreos.liveiso.fromram'] } });
    const changed = applied(image, patches);
    const shown = await inspectImage(bytesReader('live.iso', changed));
    expect(shown.ignition).toBe(CONFIG.toString());
    expect(shown.kernelArguments).toEqual([...shown.defaultKernelArguments, 'coreos.liveiso.fromram']);
    expect(applied(changed, reset(await open(changed))).equals(image)).toBe(true);
  });
});

describe('hostile images', () => {
  it.each(LAYOUTS)('of layout %s end with an answer or an error', async (layout) => {
    const { image } = liveIsoImage(layout);
    const { patches } = embed(await open(image), { files });
    const customised = applied(image, patches);
    const start = (await open(image)).ignitionArea.offset;
    const flips = fc.array(fc.tuple(fc.constantFrom(0, 32_672, 34_816, start), fc.nat(20_000), fc.nat(255)), {
      minLength: 1,
      maxLength: 12,
    });
    await fc.assert(
      fc.asyncProperty(flips, fc.option(fc.nat(image.length)), async (changes, length) => {
        const hostile = Buffer.from(customised.subarray(0, length ?? image.length));
        for (const [base, place, value] of changes) {
          if (base + place < hostile.length) hostile[base + place] = value;
        }
        const outcome = await inspectImage(bytesReader('live.iso', hostile)).catch((error: unknown) => error);
        if (!(outcome instanceof Error)) return;
        expect(outcome).not.toBeInstanceOf(TypeError);
        expect(outcome).not.toBeInstanceOf(RangeError);
        expect(outcome.message.length).toBeGreaterThan(10);
      }),
      { numRuns: 40 },
    );
  });
});
