import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode, messageOf } from '../io/errors.ts';
import type { Environment } from './find-program.ts';
import type { Accelerator } from './qemu-arguments.ts';

const DEVICE = '/dev/kvm';
const PROBE_TIMEOUT = 10_000;
const SUDO_TIMEOUT = 10_000;

/** isa-debug-exit ends QEMU with `(value << 1) | 1`. */
const EXIT_PORT = 0xf4;
const EXIT_VALUE = 0x10;
export const PROBE_EXIT_CODE = (EXIT_VALUE << 1) | 1;

export interface AcceleratorOptions {
  readonly qemu: string;
  /**
   * Whether the owner of the device may be changed by sudo without a password, as on GitHub's runners, whose user has no
   * permission for it.
   */
  readonly openDevice: boolean;
  readonly env: Environment;
  readonly signal?: AbortSignal | undefined;
  readonly device?: string;
  /** Milliseconds that the smallest guest may take. */
  readonly probeTimeout?: number;
}

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** Why hardware acceleration isn't used, where it was wanted. */
  readonly why?: string;
}

/**
 * Chooses the accelerator: `auto` takes KVM where a guest really runs under it.
 *
 * @throws Error saying what to do if `kvm` was asked for and isn't usable
 */
export async function chooseAccelerator(
  wanted: 'auto' | Accelerator,
  options: AcceleratorOptions,
): Promise<AcceleratorChoice> {
  if (wanted === 'tcg') return { accelerator: 'tcg' };
  const why = await kvmObstacle(options);
  if (why === undefined) return { accelerator: 'kvm' };
  if (wanted === 'kvm') throw new Error(`"accelerator" is kvm, but ${why}`);
  return { accelerator: 'tcg', why };
}

async function kvmObstacle(options: AcceleratorOptions): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'KVM is there on Linux only';
  return (await deviceObstacle(options)) ?? (await guestObstacle(options));
}

async function deviceObstacle({ openDevice, env, device = DEVICE }: AcceleratorOptions): Promise<string | undefined> {
  try {
    await access(device, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return `there is no ${device}: this machine offers no hardware acceleration`;
    if (openDevice && (await takeDevice(device, env))) return undefined;
    const user = process.getuid?.() ?? '$(id -u)';
    return `this user may not open ${device}: run \`sudo chown ${user} ${device}\`, or add the user to the group kvm`;
  }
}

/** Makes this user the owner of the device: nobody else gains a permission. */
async function takeDevice(device: string, env: Environment): Promise<boolean> {
  const owner = String(process.getuid?.());
  const taken = await new Promise<boolean>((resolve) => {
    execFile('sudo', ['-n', 'chown', owner, device], { timeout: SUDO_TIMEOUT, env }, (error) => resolve(!error));
  });
  if (!taken) return false;
  return access(device, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

/**
 * Runs a guest of two instructions. Where the device opens and guests don't run (nested virtualisation can be like that),
 * this ends after some seconds instead of hanging the boot.
 */
async function guestObstacle(options: AcceleratorOptions): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'k4all-kvm-'));
  try {
    const firmware = join(folder, 'probe.bin');
    await writeFile(firmware, probeFirmware());
    const result = await runProbe(options, probeArguments('kvm', firmware));
    return result === undefined ? undefined : `a guest doesn't run under KVM here (${result})`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves to what went wrong, undefined if the guest ran. */
function runProbe(options: AcceleratorOptions, args: readonly string[]): Promise<string | undefined> {
  const { qemu, env, signal, probeTimeout = PROBE_TIMEOUT } = options;
  return new Promise((resolve, reject) => {
    // A guest that hangs doesn't react to SIGTERM.
    const limits = { timeout: probeTimeout, killSignal: 'SIGKILL', env, ...(signal && { signal }) } as const;
    execFile(qemu, args, limits, (error, _stdout, stderr) => {
      if (signal?.aborted) return reject(signal.reason);
      if (error?.code === PROBE_EXIT_CODE) return resolve(undefined);
      if (error?.killed) return resolve(`no answer within ${probeTimeout / 1000} s`);
      resolve(stderr.trim().split('\n').at(-1) || (error ? messageOf(error) : 'QEMU ended by itself'));
    });
  });
}

/** The smallest machine that starts the firmware. */
export function probeArguments(accelerator: Accelerator, firmware: string): string[] {
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-m', '16M'],
    ...['-machine', `pc,accel=${accelerator}`, '-bios', firmware],
    ...['-device', `isa-debug-exit,iobase=${EXIT_PORT},iosize=4`],
  ];
}

/** A BIOS of 64 KiB whose reset vector (16 bytes before its end) leaves through isa-debug-exit. */
export function probeFirmware(): Buffer {
  const rom = Buffer.alloc(64 * 1024, 0xf4);
  // mov al, value; out port, al; hlt
  rom.set([0xb0, EXIT_VALUE, 0xe6, EXIT_PORT, 0xf4], rom.length - 16);
  return rom;
}
