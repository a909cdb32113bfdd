import { describe, expect, it } from 'vitest';
import { type MachineDescription, qemuArguments } from '../../src/boot/qemu-arguments.ts';

const machine: MachineDescription = {
  image: '/images/a.iso',
  format: 'raw',
  attach: 'disk',
  memory: 2048,
  accelerator: 'tcg',
  monitor: '/tmp/x/monitor',
  biosLog: '/tmp/x/bios',
};

/** The values of an option that may be repeated. */
function values(args: readonly string[], option: string): string[] {
  return args.filter((_, index) => args[index - 1] === option);
}

describe('qemuArguments', () => {
  it.for<[title: string, change: Partial<MachineDescription>, option: string, expected: string[]]>([
    ['a disk', {}, '-drive', ['if=none,id=image,format=raw,snapshot=on,file=/images/a.iso']],
    [
      'a CD-ROM',
      { attach: 'cdrom' },
      '-drive',
      ['if=none,id=image,format=raw,media=cdrom,snapshot=on,file=/images/a.iso'],
    ],
    [
      'a QCOW2',
      { format: 'qcow2', image: '/a.qcow2' },
      '-drive',
      ['if=none,id=image,format=qcow2,snapshot=on,file=/a.qcow2'],
    ],
    [
      'a comma in a path',
      { image: '/a,file=/etc/passwd' },
      '-drive',
      ['if=none,id=image,format=raw,snapshot=on,file=/a,,file=/etc/passwd'],
    ],
    [
      'UEFI in two flash images',
      { uefi: { code: '/c.fd', variables: '/v,1.fd' } },
      '-drive',
      [
        'if=pflash,format=raw,unit=0,readonly=on,file=/c.fd',
        'if=pflash,format=raw,unit=1,snapshot=on,file=/v,,1.fd',
        'if=none,id=image,format=raw,snapshot=on,file=/images/a.iso',
      ],
    ],
    ['UEFI in one file', { uefi: { code: '/c.fd' } }, '-bios', ['/c.fd']],
    [
      'a further disk, which is written to',
      { disks: [{ path: '/b.img', format: 'raw' }] },
      '-drive',
      ['if=none,id=image,format=raw,snapshot=on,file=/images/a.iso', 'if=none,id=disk0,format=raw,file=/b.img'],
    ],
    ['emulation', {}, '-machine', ['q35,accel=tcg']],
    ['KVM', { accelerator: 'kvm' }, '-machine', ['q35,accel=kvm']],
    ['the processor under KVM', { accelerator: 'kvm' }, '-cpu', ['host']],
    ['memory', { memory: 768 }, '-m', ['768M']],
    [
      'the monitor on a Unix socket',
      {},
      '-chardev',
      ['stdio,id=console,signal=off', 'socket,id=monitor,path=/tmp/x/monitor', 'socket,id=bios,path=/tmp/x/bios'],
    ],
    [
      'the monitor on a port',
      { monitor: 4444, biosLog: 4445 },
      '-chardev',
      [
        'stdio,id=console,signal=off',
        'socket,id=monitor,host=127.0.0.1,port=4444',
        'socket,id=bios,host=127.0.0.1,port=4445',
      ],
    ],
  ])('%s', ([, change, option, expected]) => {
    expect(values(qemuArguments({ ...machine, ...change }), option)).toEqual(expected);
  });

  it('listens to a BIOS, and not to a UEFI firmware, which says what it finds on the serial console', () => {
    const debugged = (change: Partial<MachineDescription>) => {
      const devices = values(qemuArguments({ ...machine, ...change }), '-device');
      return devices.some((device) => device.startsWith('isa-debugcon,iobase=0x402,'));
    };
    expect(debugged({})).toBe(true);
    expect(debugged({ uefi: { code: '/c.fd' } })).toBe(false);
  });

  it('boots from the image alone', () => {
    const devices = values(qemuArguments({ ...machine, disks: [{ path: '/b', format: 'raw' }] }), '-device');
    expect(devices.filter((device) => device.includes('bootindex'))).toEqual([
      'virtio-blk-pci,drive=image,bootindex=1',
    ]);
    expect(values(qemuArguments({ ...machine, attach: 'cdrom' }), '-device')).toContain(
      'ide-cd,drive=image,bootindex=1',
    );
  });
});
