import { StringDecoder } from 'node:string_decoder';
import { stripVTControlCharacters } from 'node:util';
import { quote } from '../io/errors.ts';

/** What on a console means that the boot has failed, whatever else is seen. */
export const FAILURES: readonly { readonly what: string; readonly pattern: RegExp }[] = [
  { what: 'kernel panic', pattern: /Kernel panic - not syncing/ },
  { what: 'emergency shell', pattern: /You are in (?:emergency|rescue) mode/ },
  { what: 'emergency shell', pattern: /(?:Entering|Press Enter for) emergency (?:mode|shell)/i },
  { what: 'emergency shell', pattern: /Cannot open access to console, the root account is locked/ },
  { what: 'Ignition failure', pattern: /\bIgnition failed:/ },
  { what: 'Ignition failure', pattern: /Failed to start (?:ignition-[\w-]+\.service - )?Ignition\b/ },
  { what: 'Ignition failure', pattern: /\bignition(?:\[\d+\])?: (?:CRITICAL\b|failed to fetch config)/ },
  { what: 'no bootable device', pattern: /BdsDxe: No bootable option or device was found/ },
  { what: 'no bootable device', pattern: /UEFI Interactive Shell v\d/ },
];

/** What SeaBIOS says when nothing was left to try; it tells no serial console. */
const BIOS_FAILURE = /No bootable device\./;
/** More than SeaBIOS says in one boot. */
const BIOS_WINDOW = 16 * 1024;

/** Matches may span this much of the console's text, so that a talkative one doesn't make every look longer. */
const WINDOW = 64 * 1024;

/**
 * Judges the text of a serial console as it arrives. Carriage returns are left out. The built-in failures are looked for
 * in the text without terminal escapes, since systemd colours its messages.
 */
export class ConsoleWatch {
  /** The line that `expect` was seen in. */
  seen: string | undefined;
  /** What failed, with the line that shows it. */
  failure: string | undefined;
  readonly #expect: RegExp;
  readonly #failOn: readonly RegExp[];
  readonly #decoder = new StringDecoder('utf8');
  #window = '';
  #fresh = false;
  #bios = '';

  constructor(expect: RegExp, failOn: readonly RegExp[]) {
    this.#expect = expect;
    this.#failOn = failOn;
  }

  /** Takes bytes of the console; returns them as text. They are judged by the next `look`. */
  feed(bytes: Uint8Array): string {
    const text = this.#decoder.write(Buffer.from(bytes)).replaceAll('\r', '');
    this.#window += text;
    this.#fresh ||= text !== '';
    if (this.#window.length > 4 * WINDOW) this.look();
    return text;
  }

  /** Takes bytes that the BIOS wrote for a debugger. */
  feedBios(bytes: Uint8Array): void {
    this.#bios = (this.#bios + Buffer.from(bytes).toString('latin1')).slice(-BIOS_WINDOW);
    this.#fresh = true;
  }

  /** Whether what has arrived so far decides the boot. */
  look(): boolean {
    if (this.#fresh) this.#judge();
    return this.seen !== undefined || this.failure !== undefined;
  }

  /** The last lines that hold something, without terminal escapes. */
  tail(lines: number): string[] {
    const plain = stripVTControlCharacters(this.#window).split('\n');
    return plain.filter((line) => line.trim() !== '').slice(-lines);
  }

  #judge(): void {
    this.#fresh = false;
    this.failure ??= this.#findFailure();
    this.seen ??= matchedLine(this.#window, this.#expect);
    if (this.#window.length <= WINDOW) return;
    const rest = this.#window.slice(-WINDOW);
    // Cut at a line's end, so that `^` doesn't match inside a line.
    this.#window = rest.slice(rest.indexOf('\n') + 1);
  }

  #findFailure(): string | undefined {
    for (const pattern of this.#failOn) {
      const line = matchedLine(this.#window, pattern);
      if (line !== undefined) return `the console matches "fail-on" ${quote(pattern.source)}: ${quote(line)}`;
    }
    const plain = stripVTControlCharacters(this.#window);
    for (const { what, pattern } of FAILURES) {
      const line = matchedLine(plain, pattern);
      if (line !== undefined) return `${what}: ${quote(line)}`;
    }
    return this.#biosFailure();
  }

  /** With what became of the first device, the image: no boot sector, a medium that can't be read. */
  #biosFailure(): string | undefined {
    if (!BIOS_FAILURE.test(this.#bios)) return undefined;
    const tries = this.#bios.match(/^Boot(?:ing from| failed:) .*$/gm) ?? [];
    return `no bootable device: the BIOS says ${quote(tries.slice(0, 2).join(' '))}`;
  }
}

/** The line in which the first match begins, trimmed and without terminal escapes. */
function matchedLine(text: string, pattern: RegExp): string | undefined {
  const index = text.search(pattern);
  if (index < 0) return undefined;
  const start = text.lastIndexOf('\n', index - 1) + 1;
  const end = text.indexOf('\n', index);
  return stripVTControlCharacters(text.slice(start, end < 0 ? undefined : end)).trim();
}
