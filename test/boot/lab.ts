/**
 * Makes the laboratory's live ISO: shaped like Fedora CoreOS (areas, JSON files, upper-case ISO 9660 names, hybrid, BIOS and
 * UEFI), with Debian's cloud kernel and an initramfs that runs the real Ignition.
 *
 *     node test/boot/lab.ts OUTPUT.iso
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { labParts, type Parts } from './parts.ts';
import { run } from './run.ts';

export const VOLUME_ID = 'fedora-coreos-43.20261101.3.0';
/** As the original's, and what lets the kernel talk to us and keeps emulated timers from panicking on a busy host. */
export const DEFAULT_ARGUMENTS =
  `coreos.liveiso=${VOLUME_ID} ignition.firstboot ignition.platform.id=metal ` +
  'console=tty0 console=ttyS0,115200n8 no_timer_check panic=0';

const IGNITION_AREA = 262_144;
const KARGS_AREA = 1139;
const MODULES = ['virtio', 'virtio_ring', 'virtio_pci_legacy_dev', 'virtio_pci_modern_dev', 'virtio_pci', 'virtio_blk'];

/** The placeholder of the arguments in the boot loaders' files. */
const AREA = `${DEFAULT_ARGUMENTS}\n${'#'.repeat(KARGS_AREA - DEFAULT_ARGUMENTS.length - 1)}`;
const INITRD = ['/images/pxeboot/initrd.img', '/images/ignition.img'];
const BOOT_FILES = {
  'EFI/fedora/grub.cfg': [
    'set default=0',
    'set timeout=0',
    "menuentry 'Fedora CoreOS (Live)' {",
    `\tlinux /images/pxeboot/vmlinuz ${AREA}`,
    `\tinitrd ${INITRD.join(' ')}`,
    '}\n',
  ].join('\n'),
  'isolinux/isolinux.cfg': [
    'default linux',
    'prompt 0',
    'timeout 1',
    'label linux',
    '  kernel /images/pxeboot/vmlinuz',
    `  append initrd=${INITRD.join(',')} ${AREA}\n`,
  ].join('\n'),
};

/** Writes the live ISO; its areas are pristine. */
export async function makeLabIso(output: string, parts: Parts): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'k4all-lab-'));
  try {
    const tree = join(work, 'iso');
    await writeTree(tree, {
      ...BOOT_FILES,
      // GRUB finds the ISO by this file and goes on to its own configuration.
      '.disk/info': `${VOLUME_ID}\n`,
      'boot/grub/grub.cfg': 'configfile /EFI/fedora/grub.cfg\n',
      'coreos/features.json': json({ 'installer-config': true, 'live-initrd-network': true }),
      'coreos/igninfo.json': json({ file: 'images/ignition.img' }),
      'coreos/kargs.json': json(kernelArgumentsArea()),
      'images/ignition.img': Buffer.alloc(IGNITION_AREA),
      'images/pxeboot/rootfs.img': 'the laboratory has no root file system\n',
    });
    await copyFile(parts.kernel, join(tree, 'images/pxeboot/vmlinuz'));
    await makeInitramfs(join(work, 'initramfs'), join(tree, 'images/pxeboot/initrd.img'), parts);
    await makeEfiPartition(join(tree, 'images/efiboot.img'), parts);
    await copyFile(join(parts.root, 'usr/lib/ISOLINUX/isolinux.bin'), join(tree, 'isolinux/isolinux.bin'));
    await copyFile(join(parts.root, 'usr/lib/syslinux/modules/bios/ldlinux.c32'), join(tree, 'isolinux/ldlinux.c32'));
    await run('genisoimage', isoArguments(output, tree));
    await run('isohybrid', ['--uefi', output]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** As coreos-assembler calls it. */
function isoArguments(output: string, tree: string): string[] {
  return [
    ...['-quiet', '-V', VOLUME_ID, '-volset', VOLUME_ID, '-rational-rock', '-J', '-joliet-long'],
    ...['-b', 'isolinux/isolinux.bin', '-c', 'isolinux/boot.cat'],
    ...['-no-emul-boot', '-boot-load-size', '4', '-boot-info-table'],
    ...['-eltorito-alt-boot', '-e', 'images/efiboot.img', '-no-emul-boot', '-o', output, tree],
  ];
}

function kernelArgumentsArea() {
  const files = Object.entries(BOOT_FILES).map(([path, text]) => {
    return { path, offset: text.indexOf(AREA), pad: '#', end: '\n' };
  });
  return { default: DEFAULT_ARGUMENTS, files, size: KARGS_AREA };
}

async function makeInitramfs(tree: string, output: string, parts: Parts): Promise<void> {
  await writeTree(tree, {
    // What useradd wants to find in the root that Ignition writes to.
    'skeleton/etc/passwd': 'root:x:0:0:root:/root:/bin/bash\n',
    'skeleton/etc/group': ['root:x:0:', 'wheel:x:10:', 'sudo:x:27:', ''].join('\n'),
    'skeleton/etc/shadow': 'root:*:20000:0:99999:7:::\n',
    'skeleton/etc/gshadow': ['root:*::', 'wheel:!::', 'sudo:!::', ''].join('\n'),
    'skeleton/etc/login.defs': 'UID_MIN 1000\nGID_MIN 1000\nHOME_MODE 0700\nUSERGROUPS_ENAB yes\n',
  });
  await copyAll([
    [join(import.meta.dirname, 'init.sh'), join(tree, 'init')],
    [join(parts.root, 'bin/busybox'), join(tree, 'bin/busybox')],
    [parts.ignition, join(tree, 'usr/bin/ignition')],
    ...['useradd', 'usermod', 'groupadd'].map((name): [string, string] => {
      return [join(parts.root, 'usr/sbin', name), join(tree, 'usr/sbin', name)];
    }),
    [join(parts.root, 'lib/x86_64-linux-gnu'), join(tree, 'lib/x86_64-linux-gnu')],
    [join(parts.root, 'lib64'), join(tree, 'lib64')],
    ...(await modulePaths(parts)).map((path): [string, string] => [
      path,
      join(tree, 'modules', path.slice(path.lastIndexOf('/'))),
    ]),
  ]);
  await run('chmod', ['755', join(tree, 'init')]);
  await run('chmod', ['600', join(tree, 'skeleton/etc/shadow'), join(tree, 'skeleton/etc/gshadow')]);
  await archive(tree, output);
}

async function modulePaths(parts: Parts): Promise<string[]> {
  const found = (await run('find', [parts.modules, '-name', 'virtio*.ko'])).split('\n');
  return found.filter((path) => MODULES.some((name) => path.endsWith(`/${name}.ko`)));
}

/** A cpio archive, lightly compressed: unpacking it under emulation costs more than reading it. */
async function archive(tree: string, output: string): Promise<void> {
  const list = await run('find', ['.', '-mindepth', '1'], { cwd: tree });
  const raw = `${output}.cpio`;
  const cpio = spawn('cpio', ['--quiet', '-o', '-H', 'newc', '-R', '0:0', '-F', raw], {
    cwd: tree,
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  cpio.stdin.end(list);
  const [code] = await once(cpio, 'exit');
  if (code !== 0) throw new Error(`cpio ended with ${code}`);
  await run('gzip', ['-1', '-n', raw]);
  await run('mv', [`${raw}.gz`, output]);
}

async function makeEfiPartition(output: string, parts: Parts): Promise<void> {
  const grub = join(parts.root, 'usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi');
  // 6 MiB: GRUB has 4.
  await run('mformat', ['-C', '-i', output, '-T', '12288', '-h', '2', '-s', '32', '::']);
  await run('mmd', ['-i', output, '::/EFI', '::/EFI/BOOT']);
  await run('mcopy', ['-i', output, grub, '::/EFI/BOOT/BOOTX64.EFI']);
}

async function writeTree(folder: string, files: Readonly<Record<string, string | Buffer>>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
}

async function copyAll(pairs: readonly (readonly [from: string, to: string])[]): Promise<void> {
  for (const [from, to] of pairs) {
    await mkdir(dirname(to), { recursive: true });
    await cp(from, to, { recursive: true });
  }
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

if (import.meta.main) await makeLabIso(process.argv[2] ?? 'lab.iso', await labParts());
