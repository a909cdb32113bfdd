/** Live ISOs of every layout in the field, small and made here; the boot files are stand-ins. */
import { buildIso, type IsoTree } from './iso-builder.ts';

export const LAYOUTS = [
  'igninfo',
  'igninfo-defaults',
  'fallback',
  'header',
  'plain',
  's390x',
  's390x-no-kargs',
] as const;
export type Layout = (typeof LAYOUTS)[number];

export const RELEASE = '43.20260301.3.0';
export const VOLUME_ID = `fedora-coreos-${RELEASE}`;
export const DEFAULT_ARGUMENTS = `mitigations=auto,nosmt coreos.liveiso=${VOLUME_ID} ignition.firstboot ignition.platform.id=metal`;
export const AREA_SIZE = 262_144;
const ARGUMENTS_SIZE = 1139;
const FEATURES = {
  'installer-config': true,
  'installer-config-directives': { console: true, 'dest-device': true },
  'live-initrd-network': true,
};

/** Whether a layout has areas for kernel arguments. */
export function hasArguments(layout: Layout): boolean {
  return layout !== 'plain' && layout !== 's390x-no-kargs';
}

function bootConfig(before: number, pad: string, end: string): Buffer {
  return Buffer.concat([Buffer.alloc(before, 'x'), argumentArea(pad, end), Buffer.from('\n# end\n')]);
}

function argumentArea(pad: string, end: string): Buffer {
  const area = Buffer.alloc(ARGUMENTS_SIZE, pad);
  area.write(DEFAULT_ARGUMENTS + end);
  return area;
}

const json = (value: unknown) => Buffer.from(`${JSON.stringify(value, null, 2)}\n`);

function argumentsJson(files: readonly unknown[]): Buffer {
  return json({ default: DEFAULT_ARGUMENTS, files, size: ARGUMENTS_SIZE });
}

/** The files of a live ISO, by path. */
export function liveTree(layout: Layout): Map<string, Buffer> {
  const tree = new Map<string, Buffer>([
    ['images/pxeboot/initrd.img', Buffer.from('initramfs\n')],
    ['images/pxeboot/rootfs.img', Buffer.from('root file system\n')],
    ['images/pxeboot/vmlinuz', Buffer.from('kernel\n')],
    ['images/efiboot.img', Buffer.from('EFI\n')],
  ]);
  if (layout.startsWith('s390x')) return s390xTree(tree, layout);
  tree.set('images/ignition.img', Buffer.alloc(AREA_SIZE));
  tree.set('EFI/fedora/grub.cfg', bootConfig(970, '#', '\n'));
  tree.set('isolinux/isolinux.cfg', bootConfig(1869, '#', '\n'));
  tree.set('isolinux/isolinux.bin', Buffer.alloc(4096, 'b'));
  if (layout === 'header') tree.set('.cmdline', argumentArea('#', '\n'));
  if (layout === 'plain' || layout === 'header') return tree;
  const extra = layout === 'igninfo' ? { pad: '#', end: '\n' } : {};
  tree.set(
    'coreos/kargs.json',
    argumentsJson([
      { path: 'EFI/fedora/grub.cfg', offset: 970, ...extra },
      { path: 'isolinux/isolinux.cfg', offset: 1869, ...extra },
    ]),
  );
  if (layout !== 'fallback') tree.set('coreos/igninfo.json', json({ file: 'images/ignition.img' }));
  tree.set('coreos/features.json', json(FEATURES));
  return tree;
}

function s390xTree(tree: Map<string, Buffer>, layout: Layout): Map<string, Buffer> {
  const argumentOffset = 4096;
  const areaOffset = 132_096;
  const image = Buffer.alloc(areaOffset + AREA_SIZE, 'k');
  image.fill(0, areaOffset);
  if (hasArguments(layout)) {
    argumentArea('\0', '\0').copy(image, argumentOffset);
    tree.set(
      'coreos/kargs.json',
      argumentsJson([{ path: 'images/cdboot.img', offset: argumentOffset, pad: '\0', end: '\0' }]),
    );
  }
  tree.set('images/cdboot.img', image);
  tree.set('coreos/igninfo.json', json({ file: 'images/cdboot.img', offset: areaOffset, length: AREA_SIZE }));
  tree.set('coreos/features.json', json(FEATURES));
  return tree;
}

/**
 * Writes the header that ISOs of 2021 have in their system area.
 *
 * @param offsetOf where a file begins in the image
 */
export function writeArgumentHeader(image: Buffer, offsetOf: (path: string) => number): void {
  const offset = 32768 - 24 - 72;
  image.fill(0, offset, offset + 72);
  image.write('coreKarg', offset, 'latin1');
  const fields = [
    ARGUMENTS_SIZE,
    offsetOf('.cmdline'),
    offsetOf('EFI/fedora/grub.cfg') + 970,
    offsetOf('isolinux/isolinux.cfg') + 1869,
  ];
  fields.forEach((value, index) => {
    image.writeBigUInt64LE(BigInt(value), offset + 8 * (index + 1));
  });
}

/** A live ISO of a layout, and where its files begin. */
export function liveIsoImage(
  layout: Layout,
  change?: (tree: IsoTree) => void,
): { image: Buffer; places: Map<string, number> } {
  const tree = liveTree(layout);
  change?.(tree);
  const { image, places } = buildIso(tree, { volumeId: VOLUME_ID, hybrid: !layout.startsWith('s390x') });
  if (layout === 'header') writeArgumentHeader(image, (path) => places.get(path) ?? 0);
  return { image, places };
}
