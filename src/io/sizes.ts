import { quote } from './errors.ts';

export const KiB = 1024;
export const MiB = 1024 ** 2;
export const GiB = 1024 ** 3;

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];

/**
 * Reads a size as qemu-img writes it: a number, optionally with a fraction, and a suffix K, M, G, T or P in powers of
 * 1024, alone or followed by `iB` or `B`. Without a suffix it is bytes.
 *
 * @throws Error naming the text and the allowed form
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?$/i.exec(text.trim());
  const [, digits = '', unit = ''] = match ?? [];
  const bytes = Number(digits) * 1024 ** UNITS.indexOf(unit.toUpperCase());
  if (!match || !Number.isSafeInteger(bytes)) {
    throw new Error(
      `${quote(text)} is not a size: give bytes, or a number with K, M, G or T (powers of 1024), as in 60G`,
    );
  }
  return bytes;
}

/** Bytes for people, in binary units with one decimal where it says something: `60 GiB`, `1.5 MiB`, `12 bytes`. */
export function formatSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  if (unit === 0) return bytes === 1 ? '1 byte' : `${bytes} bytes`;
  return `${Number(value.toFixed(1))} ${UNITS[unit]}iB`;
}
