import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { detectImage, imageKind } from '../../src/boot/image-format.ts';

function head(...parts: readonly (readonly [offset: number, bytes: Buffer | string])[]): Buffer {
  const buffer = Buffer.alloc(40_000);
  for (const [offset, bytes] of parts) Buffer.from(bytes as string, 'latin1').copy(buffer, offset);
  return buffer.subarray(0, 32_774);
}

describe('imageKind', () => {
  it.for([
    ['QCOW2', head([0, 'QFI\xfb']), { format: 'qcow2', iso: false, bootSector: true }],
    ['VDI', head([64, '\x7f\x10\xda\xbe']), { format: 'vdi', iso: false, bootSector: true }],
    ['an ISO that is not hybrid', head([32_769, 'CD001']), { format: 'raw', iso: true, bootSector: false }],
    ['a hybrid ISO', head([32_769, 'CD001'], [510, '\x55\xaa']), { format: 'raw', iso: true, bootSector: true }],
    ['a raw disk', head([510, '\x55\xaa']), { format: 'raw', iso: false, bootSector: true }],
    ['something short', Buffer.from('x'), { format: 'raw', iso: false, bootSector: false }],
  ] as const)('%s', ([, bytes, kind]) => {
    expect(imageKind(bytes)).toEqual(kind);
  });

  it('takes any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1024 }), (bytes) => {
        expect(['raw', 'qcow2', 'vdi']).toContain(imageKind(Buffer.from(bytes)).format);
      }),
    );
  });
});

describe('detectImage', () => {
  it('goes by content, not by name, and refuses what is empty or missing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'k4all-kind-'));
    try {
      await writeFile(join(folder, 'a.iso'), head([0, 'QFI\xfb']));
      await writeFile(join(folder, 'empty.iso'), '');
      expect(await detectImage(join(folder, 'a.iso'))).toMatchObject({ format: 'qcow2' });
      await expect(detectImage(join(folder, 'empty.iso'))).rejects.toThrow('is empty');
      await expect(detectImage(join(folder, 'none.iso'))).rejects.toThrow("can't be opened: ENOENT");
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
