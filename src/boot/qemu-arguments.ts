import type { ImageKind } from './image-format.ts';

export type Attachment = 'disk' | 'cdrom';
export type Accelerator = 'kvm' | 'tcg';

/** Flash images of a UEFI firmware. The variable store isn't written to. */
export interface UefiFlash {
  readonly code: string;
  /** Absent where code and variables are one file. */
  readonly variables?: string | undefined;
}

/** A further disk beside the image under test. What the machine writes to it stays. */
export interface ExtraDisk {
  readonly path: string;
  readonly format: ImageKind['format'];
}

export interface MachineDescription {
  /** Absolute path. */
  readonly image: string;
  readonly format: ImageKind['format'];
  readonly attach: Attachment;
  /** Absent for BIOS. */
  readonly uefi?: UefiFlash | undefined;
  /** MiB. */
  readonly memory: number;
  readonly accelerator: Accelerator;
  readonly disks?: readonly ExtraDisk[] | undefined;
  /** Where QEMU connects to for the machine protocol: a Unix socket's path, or a port on this machine. */
  readonly monitor: string | number;
  /** Where QEMU connects to with what the BIOS says to nobody but a debugger. */
  readonly biosLog: string | number;
}

/**
 * The arguments of `qemu-system-x86_64`: a headless machine whose serial console is stdout. Every drive of the image is a
 * snapshot, so that its file is never written to. After a power-off QEMU stays for a last look at the screen
 * (`-no-shutdown`); a reboot goes on, because an installer ends with one.
 */
export function qemuArguments(machine: MachineDescription): string[] {
  return [
    ['-nodefaults', '-no-user-config', '-no-shutdown', '-display', 'none', '-vga', 'std'],
    ['-machine', `q35,accel=${machine.accelerator}`],
    // With emulation a second processor buys little and makes timer trouble on busy hosts likelier.
    ...(machine.accelerator === 'kvm' ? [['-cpu', 'host', '-smp', '2']] : [['-cpu', 'max', '-smp', '1']]),
    ['-m', `${machine.memory}M`],
    ['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ['-chardev', channel('monitor', machine.monitor), '-mon', 'chardev=monitor,mode=control'],
    machine.uefi ? [] : biosLogArguments(machine.biosLog),
    // A machine that boots Fedora CoreOS has entropy and a network; without an option ROM nothing tries to boot from it.
    ['-device', 'virtio-rng-pci', '-netdev', 'user,id=net', '-device', 'virtio-net-pci,netdev=net,romfile='],
    flashArguments(machine.uefi),
    imageArguments(machine),
    ...(machine.disks ?? []).map(extraDiskArguments),
  ].flat();
}

function channel(id: string, to: string | number): string {
  return `socket,id=${id},${typeof to === 'string' ? `path=${optionValue(to)}` : `host=127.0.0.1,port=${to}`}`;
}

/**
 * SeaBIOS writes its screen to this port too, where it finds QEMU behind it. No system looks there, so that the machine is
 * the same for what it boots.
 */
function biosLogArguments(to: string | number): string[] {
  return ['-chardev', channel('bios', to), '-device', 'isa-debugcon,iobase=0x402,chardev=bios'];
}

function flashArguments(uefi: UefiFlash | undefined): string[] {
  if (!uefi) return [];
  if (uefi.variables === undefined) return ['-bios', uefi.code];
  const flash = 'if=pflash,format=raw';
  return [
    ...['-drive', `${flash},unit=0,readonly=on,file=${optionValue(uefi.code)}`],
    ...['-drive', `${flash},unit=1,snapshot=on,file=${optionValue(uefi.variables)}`],
  ];
}

function imageArguments({ image, format, attach }: MachineDescription): string[] {
  const device = attach === 'cdrom' ? 'ide-cd' : 'virtio-blk-pci';
  const media = attach === 'cdrom' ? ',media=cdrom' : '';
  return [
    ...['-drive', `if=none,id=image,format=${format}${media},snapshot=on,file=${optionValue(image)}`],
    ...['-device', `${device},drive=image,bootindex=1`],
  ];
}

function extraDiskArguments({ path, format }: ExtraDisk, index: number): string[] {
  return [
    ...['-drive', `if=none,id=disk${index},format=${format},file=${optionValue(path)}`],
    ...['-device', `virtio-blk-pci,drive=disk${index}`],
  ];
}

/** A value inside one of QEMU's comma-separated options: a comma is doubled. */
function optionValue(value: string): string {
  return value.replaceAll(',', ',,');
}
