import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type BootTestOptions, bootTest } from '../../src/boot/index.ts';
import { bootSector } from '../support/qemu.ts';
import { stubProgram } from '../support/stub.ts';

// As on a machine whose KVM runs the smallest guest.
vi.mock(import('../../src/boot/kvm.ts'), async (original) => {
  return { ...(await original()), chooseAccelerator: async () => ({ accelerator: 'kvm' }) };
});

/** A QEMU that stops the guest under KVM, as for an instruction that KVM can't carry out, and boots it under emulation. */
const QEMU = `
import { connect } from 'node:net';
const args = process.argv.join(' ');
process.stdout.write('starting\\n');
if (args.includes('accel=kvm')) console.error('warning: a\\nKVM internal error. Suberror: 1\\nEAX=0');
const monitor = connect(/socket,id=monitor,path=([^,]+)/.exec(args)[1].split(' ')[0]);
monitor.on('data', (text) => {
  if (String(text).includes('quit')) process.exit(0);
  const { execute, id } = JSON.parse(text);
  monitor.write(JSON.stringify({ id, return: {} }) + '\\n');
  if (execute !== 'qmp_capabilities') return;
  if (args.includes('accel=kvm')) monitor.write('{"event":"STOP"}\\n');
  else process.stdout.write('localhost login: ');
});`;

describe.skipIf(process.platform === 'win32')('a guest that KVM gives up on', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-fallback-'));
    await stubProgram(folder, 'qemu-system-x86_64', QEMU);
    await writeFile(join(folder, 'a.img'), bootSector(''));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const told: string[] = [];
  const boot = (accelerator: NonNullable<BootTestOptions['accelerator']>) =>
    bootTest({
      ...{ image: join(folder, 'a.img'), outputDir: folder, accelerator, timeout: 20 },
      env: { PATH: `${folder}:/usr/bin:/bin` },
      notify: (_severity, message) => told.push(message),
    });

  it('is booted again with emulation', async () => {
    const result = await boot('auto');
    expect(result).toMatchObject({ verdict: 'passed', accelerator: 'tcg' });
    expect(await readFile(result.serialLog, 'utf8')).toBe('starting\nlocalhost login: ');
    expect(told.join()).toContain('KVM gave up on the guest (KVM internal error. Suberror: 1)');
  });

  it('has failed where KVM was asked for', async () => {
    expect(await boot('kvm')).toMatchObject({
      verdict: 'failed',
      accelerator: 'kvm',
      reason: 'QEMU stopped the machine before "expect" was seen: "KVM internal error. Suberror: 1"',
    });
  });
});
