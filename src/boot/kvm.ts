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

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** Why hardware acceleration isn't used, where it was wanted. */
  readonly why?: string;
}

/**
 * Chooses the accelerator: `auto` takes KVM where a guest really runs under it.
 *
 * @param options.openDevice may change the owner of /dev/kvm by sudo without a password, as on GitHub's runners, whose
 *   user has no permission for it
 * @throws Error saying what to do if `kvm` was asked for and isn't usable
 */
export async function chooseAccelerator(
  wanted: 'auto' | Accelerator,
  options: { qemu: string; openDevice: boolean; env: Environment; signal?: AbortSignal | undefined },
): Promise<AcceleratorChoice> {
  if (wanted === 'tcg') return { accelerator: 'tcg' };
  const why = await kvmObstacle(options);
  if (why === undefined) return { accelerator: 'kvm' };
  if (wanted === 'kvm') throw new Error(`"accelerator" is kvm, but ${why}`);
  return { accelerator: 'tcg', why };
}

async function kvmObstacle(options: Parameters<typeof chooseAccelerator>[1]): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'KVM is there on Linux only';
  const obstacle = await deviceObstacle(options.openDevice, options.env);
  return obstacle ?? (await guestObstacle(options.qemu, options.signal));
}

async function deviceObstacle(openDevice: boolean, env: Environment): Promise<string | undefined> {
  try {
    await access(DEVICE, constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return `there is no ${DEVICE}: this machine offers no hardware acceleration`;
    if (openDevice && (await takeDevice(env))) return undefined;
    const user = process.getuid?.() ?? '$(id -u)';
    return `this user may not open ${DEVICE}: run \`sudo chown ${user} ${DEVICE}\`, or add the user to the group kvm`;
  }
}

/** Makes this user the owner of the device: nobody else gains a permission. */
async function takeDevice(env: Environment): Promise<boolean> {
  const owner = String(process.getuid?.());
  const taken = await new Promise<boolean>((resolve) => {
    execFile('sudo', ['-n', 'chown', owner, DEVICE], { timeout: SUDO_TIMEOUT, env }, (error) => resolve(!error));
  });
  if (!taken) return false;
  return access(DEVICE, constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
}

/**
 * Runs a guest of two instructions. Where the device opens and guests don't run (nested virtualisation can be like that),
 * this ends after some seconds instead of hanging the boot.
 */
async function guestObstacle(qemu: string, signal: AbortSignal | undefined): Promise<string | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'k4all-kvm-'));
  try {
    const firmware = join(folder, 'probe.bin');
    await writeFile(firmware, probeFirmware());
    const result = await runProbe(qemu, probeArguments('kvm', firmware), signal);
    return result === undefined ? undefined : `a guest doesn't run under KVM here (${result})`;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Resolves to what went wrong, undefined if the guest ran. */
function runProbe(qemu: string, args: readonly string[], signal: AbortSignal | undefined): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    // A guest that hangs doesn't react to SIGTERM.
    const options = { timeout: PROBE_TIMEOUT, killSignal: 'SIGKILL', ...(signal && { signal }) } as const;
    execFile(qemu, args, options, (error, _stdout, stderr) => {
      if (signal?.aborted) return reject(signal.reason);
      if (error?.code === PROBE_EXIT_CODE) return resolve(undefined);
      if (error?.killed) return resolve(`no answer within ${PROBE_TIMEOUT / 1000} s`);
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
