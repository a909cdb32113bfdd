import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Environment, findProgram, firstReadable } from './find-program.ts';
import type { UefiFlash } from './qemu-arguments.ts';

const PROGRAM = 'qemu-system-x86_64';
/** QEMU's installer for Windows doesn't put itself on the PATH. */
const WINDOWS_FOLDER = 'C:\\Program Files\\qemu';

const QEMU_PACKAGES =
  '`sudo apt-get install qemu-system-x86` (Debian, Ubuntu), `dnf install qemu-system-x86-core` (Fedora), ' +
  '`pacman -S qemu-system-x86` (Arch), `brew install qemu` (macOS), `winget install SoftwareFreedomConservancy.QEMU` (Windows)';
const OVMF_PACKAGES =
  '`sudo apt-get install ovmf` (Debian, Ubuntu), `dnf install edk2-ovmf` (Fedora), `pacman -S edk2-ovmf` (Arch); ' +
  'on macOS and Windows it comes with QEMU';

/** Path of QEMU for x86_64. @throws Error naming the package where it is missing */
export async function findQemu(env: Environment): Promise<string> {
  const path = await findProgram(PROGRAM, env, process.platform === 'win32' ? [WINDOWS_FOLDER] : []);
  if (path) return path;
  throw new Error(`${PROGRAM} is not installed or not on the PATH; install it with ${QEMU_PACKAGES}`);
}

/** Code and variable store as distributions name them, the wider flash of 4 MiB first. */
const FLASH_FILES: readonly (readonly [code: string, variables: string | undefined])[] = [
  // Debian, Ubuntu
  ['/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'],
  ['/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'],
  // Fedora, CentOS Stream
  ['/usr/share/edk2/ovmf/OVMF_CODE.fd', '/usr/share/edk2/ovmf/OVMF_VARS.fd'],
  // Arch, now and before
  ['/usr/share/edk2/x64/OVMF_CODE.4m.fd', '/usr/share/edk2/x64/OVMF_VARS.4m.fd'],
  ['/usr/share/edk2-ovmf/x64/OVMF_CODE.fd', '/usr/share/edk2-ovmf/x64/OVMF_VARS.fd'],
  // openSUSE
  ['/usr/share/qemu/ovmf-x86_64-4m-code.bin', '/usr/share/qemu/ovmf-x86_64-4m-vars.bin'],
  ['/usr/share/qemu/ovmf-x86_64-code.bin', '/usr/share/qemu/ovmf-x86_64-vars.bin'],
  // One file for both
  ['/usr/share/ovmf/OVMF.fd', undefined],
];

/** The firmware that QEMU's own builds carry (Homebrew, Windows), relative to the program's folder. */
const BUNDLED_FOLDERS = [join('..', 'share', 'qemu'), 'share'];
const BUNDLED_FILES = ['edk2-x86_64-code.fd', 'edk2-i386-vars.fd'] as const;

/** A UEFI firmware for x86_64 without Secure Boot. @throws Error naming the package where there is none */
export async function findUefi(qemu: string): Promise<UefiFlash> {
  const home = dirname(await realpath(qemu));
  const bundled = BUNDLED_FOLDERS.map((folder) => {
    const [code, variables] = BUNDLED_FILES;
    return [join(home, folder, code), join(home, folder, variables)] as const;
  });
  for (const [code, variables] of [...FLASH_FILES, ...bundled]) {
    if (!(await firstReadable([code]))) continue;
    if (variables === undefined || (await firstReadable([variables]))) return { code, variables };
  }
  throw new Error(`no UEFI firmware for x86_64 was found for "firmware: uefi"; install it with ${OVMF_PACKAGES}`);
}
