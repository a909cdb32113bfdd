import { gunzipSync } from 'node:zlib';

/** The bytes that compressed contents of one config may still unpack to. */
export interface UnpackBudget {
  left: number;
}

const ASSUMED_RATIO = 16;

/** As much as an embed area may unpack to. */
export function unpackBudget(): UnpackBudget {
  return { left: 64 * 2 ** 20 };
}

/** Whether the source of a resource carries its contents itself (RFC 2397). */
export function isDataUrl(source: unknown): source is string {
  return typeof source === 'string' && /^data:[^,]{0,1024},/i.test(source);
}

/**
 * The bytes of an Ignition resource whose source is a `data:` URL.
 *
 * @param compression `gzip`, or anything else for none
 * @returns undefined if it can't be unpacked, or would unpack to more than the budget
 */
export function dataOf(url: string, compression: unknown, budget: UnpackBudget): Buffer | undefined {
  const comma = url.indexOf(',');
  const base64 = /;\s{0,8}base64\s{0,8}$/i.test(url.slice(0, comma));
  const bytes = percentDecoded(url.slice(comma + 1));
  const data = base64 ? Buffer.from(bytes.toString('latin1'), 'base64') : bytes;
  return compression === 'gzip' ? unpacked(data, budget) : data;
}

function percentDecoded(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  if (!text.includes('%')) return bytes;
  const decoded = bytes
    .toString('latin1')
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(decoded, 'latin1');
}

function unpacked(data: Buffer, budget: UnpackBudget): Buffer | undefined {
  if (budget.left <= 0) return undefined;
  try {
    const contents = gunzipSync(data, { maxOutputLength: budget.left });
    budget.left -= contents.length;
    return contents;
  } catch (error) {
    // A bomb took the time that the whole budget stands for; what is damaged had a ratio that nobody knows.
    budget.left = error instanceof RangeError ? 0 : budget.left - data.length * ASSUMED_RATIO;
    return undefined;
  }
}
