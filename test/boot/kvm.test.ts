import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseAccelerator, PROBE_EXIT_CODE, probeArguments, probeFirmware } from '../../src/boot/kvm.ts';
import { describeWithPeers } from '../support/peers.ts';
import { stubProgram } from '../support/stub.ts';

const env = process.env;

describe.skipIf(process.platform !== 'linux')('chooseAccelerator', () => {
  let folder = '';
  let device = '';
  let runs = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'k4all-kvm-test-'));
    device = join(folder, 'kvm');
    await writeFile(device, '');
    runs = await stubProgram(folder, 'runs', `process.exit(${PROBE_EXIT_CODE});`);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('takes KVM where a guest runs', async () => {
    const options = { qemu: runs, openDevice: false, env, device };
    expect(await chooseAccelerator('auto', options)).toEqual({ accelerator: 'kvm' });
    expect(await chooseAccelerator('kvm', options)).toEqual({ accelerator: 'kvm' });
  });

  it('asks nothing for tcg', async () => {
    const options = { qemu: '/nonexistent', openDevice: true, env, device: '/nonexistent' };
    expect(await chooseAccelerator('tcg', options)).toEqual({ accelerator: 'tcg' });
  });

  it('emulates without the device, and refuses kvm with the reason', async () => {
    const options = { qemu: runs, openDevice: true, env, device: join(folder, 'none') };
    const why = `there is no ${options.device}: this machine offers no hardware acceleration`;
    expect(await chooseAccelerator('auto', options)).toEqual({ accelerator: 'tcg', why });
    await expect(chooseAccelerator('kvm', options)).rejects.toThrow(`"accelerator" is kvm, but ${why}`);
  });

  it('emulates where QEMU refuses KVM, with its own words', async () => {
    const qemu = await stubProgram(
      folder,
      'refuses',
      "console.error('a\\nfailed to initialize kvm'); process.exit(1);",
    );
    const { accelerator, why } = await chooseAccelerator('auto', { qemu, openDevice: false, env, device });
    expect(accelerator).toBe('tcg');
    expect(why).toContain('(failed to initialize kvm)');
  });

  it('emulates where a guest hangs under KVM', async () => {
    const qemu = await stubProgram(folder, 'hangs', "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);");
    const options = { qemu, openDevice: false, env, device, probeTimeout: 500 };
    expect((await chooseAccelerator('auto', options)).why).toContain('no answer within 0.5 s');
  });

  it('stops when the run is interrupted', async () => {
    const qemu = await stubProgram(folder, 'waits', 'setInterval(() => {}, 1000);');
    const options = { qemu, openDevice: false, env, device, signal: AbortSignal.timeout(200) };
    await expect(chooseAccelerator('auto', options)).rejects.toThrow('due to timeout');
  });

  // Root may open any file.
  describe.skipIf(process.getuid?.() === 0)('without permission for the device', () => {
    it('takes the device by sudo where that is allowed', async () => {
      const closed = join(folder, 'closed');
      await writeFile(closed, '');
      await chmod(closed, 0);
      const sudo = "import { chmodSync } from 'node:fs'; chmodSync(process.argv.at(-1), 0o600);";
      await stubProgram(folder, 'sudo', sudo);
      const options = { qemu: runs, env: { ...env, PATH: folder }, device: closed };
      expect((await chooseAccelerator('auto', { ...options, openDevice: false })).why).toContain('sudo chown');
      expect(await chooseAccelerator('auto', { ...options, openDevice: true })).toEqual({ accelerator: 'kvm' });
    });
  });
});

describeWithPeers('the probe', ['qemu-system-x86_64'], () => {
  it('leaves a machine that runs with its exit code', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'k4all-probe-'));
    try {
      const firmware = join(folder, 'probe.bin');
      await writeFile(firmware, probeFirmware());
      const running = promisify(execFile)('qemu-system-x86_64', probeArguments('tcg', firmware), { timeout: 50_000 });
      await expect(running).rejects.toMatchObject({ code: PROBE_EXIT_CODE });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
