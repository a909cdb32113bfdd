import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConsoleWatch } from '../../src/boot/console-watch.ts';

function watchOf(text: string, expected = /READY/m, failOn: readonly RegExp[] = []): ConsoleWatch {
  const watch = new ConsoleWatch(expected, failOn);
  watch.feed(Buffer.from(text));
  watch.look();
  return watch;
}

describe('ConsoleWatch', () => {
  it.for([
    ['[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs', 'kernel panic'],
    ['You are in emergency mode. After logging in, type "journalctl -xb"', 'emergency shell'],
    ['Entering emergency mode. Exit the shell to continue.', 'emergency shell'],
    ['Press Enter for emergency shell or wait 4 minutes 50 seconds for reboot.', 'emergency shell'],
    ['Cannot open access to console, the root account is locked.', 'emergency shell'],
    ['[   7.1] ignition[812]: CRITICAL : Ignition failed: failed to fetch config: invalid', 'Ignition failure'],
    ['[   7.1] ignition[812]: failed to fetch config: not a config', 'Ignition failure'],
    [
      '[\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mignition-fetch.service\x1b[0m - Ignition (fetch).',
      'Ignition failure',
    ],
    ['[FAILED] Failed to start Ignition (disks).', 'Ignition failure'],
    ['BdsDxe: No bootable option or device was found.', 'no bootable device'],
    ['\x1b[2J\x1b[01;01HUEFI Interactive Shell v2.2', 'no bootable device'],
  ])('%s', ([line, what]) => {
    const watch = watchOf(`before\r\n${line}\r\nafter\r\n`);
    expect(watch.failure).toMatch(new RegExp(`^${what}: "`));
    expect(watch.failure).not.toContain('before');
    expect(watch.failure).not.toContain('\\u001b');
  });

  it.for([
    'Starting ignition-fetch.service - Ignition (fetch)...',
    'ignition[812]: Ignition finished successfully',
    'systemd[1]: emergency.target: not needed',
    'Command line: panic=0',
  ])('is not a failure: %s', (line) => {
    expect(watchOf(`${line}\n`).failure).toBeUndefined();
  });

  it('sees what is expected, lines counting for ^ and $', () => {
    expect(watchOf('a\r\nREADY\r\n', /^READY$/m).seen).toBe('READY');
    expect(watchOf('not READY yet\n', /^READY$/m).seen).toBeUndefined();
  });

  it('lets a failure win in the same output, in either order', () => {
    for (const text of ['READY\nOOPS\n', 'OOPS\nREADY\n']) {
      const watch = watchOf(text, /READY/m, [/OO+PS/m]);
      expect(watch.failure).toBe('the console matches "fail-on" "OO+PS": "OOPS"');
    }
  });

  it('looks at the whole text however it is cut, multi-byte characters and carriage returns included', () => {
    const bytes = Buffer.from('erste Zeile\r\nfertig: größer\r\nlogin: ');
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
        const watch = new ConsoleWatch(/^fertig: größer$/m, []);
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const texts = places.slice(1).map((end, index) => {
          const text = watch.feed(bytes.subarray(places[index], end));
          watch.look();
          return text;
        });
        expect(watch.seen).toBe('fertig: größer');
        expect(texts.join('')).toBe('erste Zeile\nfertig: größer\nlogin: ');
      }),
    );
  });

  it('keeps a bounded part of an endless console, and still matches over its lines', () => {
    const watch = new ConsoleWatch(/^needle\nthread$/m, []);
    const noise = Buffer.from(`${'x'.repeat(99)}\n`.repeat(2000));
    for (let i = 0; i < 50; i++) watch.feed(noise);
    expect(watch.look()).toBe(false);
    watch.feed(Buffer.from('needle\nthr'));
    expect(watch.look()).toBe(false);
    watch.feed(Buffer.from('ead\n'));
    expect(watch.look()).toBe(true);
    expect(watch.tail(1)).toEqual(['thread']);
  });

  it('hears from the BIOS that there is nothing to boot, in however many pieces', () => {
    const told =
      'Booting from Hard Disk...\nBoot failed: not a bootable disk\n\nenter handle_18:\n  NULL\nBooting from Floppy...\nNo bootable device.\n';
    const watch = new ConsoleWatch(/READY/, []);
    for (const byte of Buffer.from(told.slice(0, -2))) watch.feedBios(Buffer.of(byte));
    expect(watch.look()).toBe(false);
    watch.feedBios(Buffer.from(told.slice(-2)));
    expect(watch.look()).toBe(true);
    expect(watch.failure).toBe(
      'no bootable device: the BIOS says "Booting from Hard Disk... Boot failed: not a bootable disk"',
    );
  });

  it('takes what only the BIOS shows for neither output nor success', () => {
    const watch = new ConsoleWatch(/READY/, [/READY/]);
    watch.feedBios(Buffer.from('READY\n'.repeat(10_000)));
    expect(watch.look()).toBe(false);
    expect(watch.tail(1)).toEqual([]);
  });
});
