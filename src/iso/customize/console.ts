import { quote } from '../../io/errors.ts';

const GRAPHICAL = ['tty0', 'hvc0', 'ttysclp0'];
const SERIAL = /^(ttyS|ttyAMA)(\d+)(?:,(\d+)(?:([noe])([5-8])?)?)?$/;

/**
 * Reads a console as the kernel's `console=` takes it and writes it out in full, as coreos-installer does: `ttyS0` is
 * `ttyS0,9600n8`.
 *
 * @throws Error naming the text and the allowed forms
 */
export function normalizeConsole(text: string): string {
  if (GRAPHICAL.includes(text)) return text;
  const [, device, port, speed = '9600', parity = 'n', bits = '8'] = SERIAL.exec(text) ?? [];
  if (device !== undefined && Number(port) <= 0xff && Number(speed) <= 0xffffffff) {
    return `${device}${Number(port)},${Number(speed)}${parity}${bits}`;
  }
  const prefix = ['console=', '/dev/'].find((start) => text.startsWith(start));
  const hint = prefix ? `; leave out ${quote(prefix)}` : '';
  throw new Error(
    `${quote(text)} is not a console: take ${GRAPHICAL.join(', ')}, or a serial one such as ttyS0,115200n8 or ttyAMA0${hint}`,
  );
}

/** The consoles among kernel arguments, if all of them could be given as consoles. */
export function consolesAmong(kernelArguments: readonly string[]): string[] {
  const consoles = kernelArguments.filter((argument) => argument.startsWith('console=')).map((a) => a.slice(8));
  return consoles.every(isConsole) ? consoles : [];
}

function isConsole(text: string): boolean {
  try {
    normalizeConsole(text);
    return true;
  } catch {
    return false;
  }
}
