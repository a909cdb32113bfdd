/** Live ISOs as Fedora CoreOS makes them: genisoimage and isohybrid; and the real ones' areas. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { IsoTree } from '../iso/iso-builder.ts';
import { DEFAULT_ARGUMENTS, type Layout, liveTree, VOLUME_ID, writeArgumentHeader } from '../iso/layouts.ts';

/** Debian's isolinux, which isohybrid insists on. */
const ISOLINUX = '/usr/lib/ISOLINUX/isolinux.bin';

/** Makes the ISO of a layout from files in a folder of its own. */
export function makeIso(
  folder: string,
  layout: Layout,
  change: (tree: IsoTree) => void = () => {},
  name: string = layout,
): string {
  const root = join(folder, `${name}.d`);
  const iso = join(folder, `${name}.iso`);
  const tree = liveTree(layout);
  change(tree);
  const pc = !layout.startsWith('s390x');
  for (const [path, bytes] of tree) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), path === 'isolinux/isolinux.bin' ? readFileSync(ISOLINUX) : bytes);
  }
  const boot = pc
    ? ['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat', '-boot-load-size', '4', '-boot-info-table']
    : [];
  const options = [
    '-quiet',
    '-r',
    '-J',
    '-allow-leading-dots',
    '-V',
    VOLUME_ID,
    ...boot,
    ...(pc ? ['-no-emul-boot'] : []),
  ];
  execFileSync('genisoimage', [...options, '-o', iso, root], { stdio: 'pipe' });
  if (pc) execFileSync('isohybrid', [iso], { stdio: 'pipe' });
  if (layout === 'header') addHeader(iso);
  return iso;
}

function addHeader(iso: string): void {
  const image = readFileSync(iso);
  const places: number[] = [];
  for (let place = image.indexOf(DEFAULT_ARGUMENTS); place >= 0; place = image.indexOf(DEFAULT_ARGUMENTS, place + 1)) {
    places.push(place);
  }
  const at = (offset: number) => (places.find((place) => (place - offset) % 2048 === 0) ?? 0) - offset;
  const offsets: Record<string, number> = {
    '.cmdline': at(0),
    'EFI/fedora/grub.cfg': at(970),
    'isolinux/isolinux.cfg': at(1869),
  };
  writeArgumentHeader(image, (path) => offsets[path] ?? 0);
  writeFileSync(iso, image);
}

/** Unpacks one of the real ISOs. */
export function realIso(folder: string, name: string): string {
  const iso = join(folder, `${name}.iso`);
  const packed = join(import.meta.dirname, `../data/iso/embed-areas-${name}.iso.xz`);
  writeFileSync(iso, execFileSync('xz', ['-dc', packed], { maxBuffer: 2 ** 24 }));
  return iso;
}

export const REAL_ISOS = ['2022-02', '2023-07.s390x', '2023-07.x86_64'];

/** The bytes of the areas, where coreos-installer says they are. */
export function readAreas(iso: string): { ignition: Buffer; kernelArguments: Buffer[] } {
  const image = readFileSync(iso);
  const show = (option: string) =>
    JSON.parse(execFileSync('coreos-installer', ['dev', 'show', 'iso', option, iso], { encoding: 'utf8' })) as unknown;
  const area = show('--ignition') as { offset: number; length: number };
  const kargs = show('--kargs') as { length: number; kargs: { offset: number }[] } | null;
  const cut = (offset: number, length: number) => image.subarray(offset, offset + length);
  return {
    ignition: cut(area.offset, area.length),
    kernelArguments: (kargs?.kargs ?? []).map(({ offset }) => cut(offset, kargs?.length ?? 0)),
  };
}

/** An archive's members with their modes as `cpio -tv` prints them, and the contents of its files. */
export function unpackArea(folder: string, area: Buffer): { listing: string[]; files: Map<string, Buffer> } {
  if (area.every((byte) => byte === 0)) return { listing: [], files: new Map() };
  const archive = decompress(area);
  const target = join(folder, 'unpacked');
  execFileSync('rm', ['-rf', target]);
  mkdirSync(target);
  const text = execFileSync('cpio', ['-tv', '--quiet'], { input: archive, encoding: 'utf8' });
  const listing = text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^(\S+)\s.*\d{4}\s(.*)$/, '$1 $2').replace(/^(\S+)\s.*:\d\d\s(.*)$/, '$1 $2'));
  execFileSync('cpio', ['-id', '--quiet'], { input: archive, cwd: target, stdio: ['pipe', 'pipe', 'pipe'] });
  const names = listing.filter((line) => line.startsWith('-')).map((line) => line.slice(line.indexOf(' ') + 1));
  return { listing, files: new Map(names.map((name) => [name, readFileSync(join(target, name))])) };
}

function decompress(area: Buffer): Buffer {
  let end = area.length;
  while (area[end - 1] === 0) end--;
  const options = { maxBuffer: 2 ** 27, stdio: ['pipe', 'pipe', 'pipe'] as 'pipe'[] };
  const input = area.subarray(0, Math.min(area.length, end + 8));
  if (area[0] === 0xfd) return tolerant('xz', ['-dcq', '--single-stream'], input, options);
  if (area[0] === 0x1f) return tolerant('gzip', ['-dcq'], input, options);
  if (area[0] === 0x28) return tolerant('zstd', ['-dcq'], input, options);
  return area;
}

/** The tools complain about the zeros behind the archive, after they have written all of it. */
function tolerant(
  tool: string,
  argv: string[],
  input: Buffer,
  options: { maxBuffer: number; stdio: 'pipe'[] },
): Buffer {
  try {
    return execFileSync(tool, argv, { ...options, input });
  } catch (error) {
    return (error as { stdout: Buffer }).stdout;
  }
}
