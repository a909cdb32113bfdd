import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sha256File } from '../../src/io/hash.ts';
import { runCli, runStep } from '../support/bundle.ts';
import { describeWithPeers } from '../support/peers.ts';
import { bootSector } from '../support/qemu.ts';
import { stubProgram } from '../support/stub.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-boot-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function image(name: string, text: string, then?: 'power-off'): Promise<string> {
  await writeFile(join(folder, name), bootSector(text, then));
  return join(folder, name);
}

const emulated = { accelerator: 'tcg', timeout: '50' } as const;

describe.skipIf(process.platform === 'win32')('boot-test without a real machine', () => {
  /** A QEMU that says a text on its console, writes its arguments down and stays. */
  async function stubQemu(text: string, then = 'setInterval(() => {}, 1000);'): Promise<Record<string, string>> {
    const bin = join(folder, 'bin');
    await mkdir(bin, { recursive: true });
    const record = `import { writeFileSync } from 'node:fs';
      writeFileSync(${JSON.stringify(join(folder, 'argv'))}, JSON.stringify(process.argv.slice(2)));`;
    await stubProgram(bin, 'qemu-system-x86_64', `${record}\nprocess.stdout.write(${JSON.stringify(text)});\n${then}`);
    return { PATH: `${bin}:/usr/bin:/bin` };
  }

  it('names the package where QEMU is missing', async () => {
    await image('a.img', '');
    const { code, stderr } = await runCli(['boot-test', '--image', 'a.img'], { cwd: folder, env: { PATH: folder } });
    expect(code).toBe(1);
    expect(stderr).toContain('qemu-system-x86_64 is not installed');
    expect(stderr).toContain('apt-get install qemu-system-x86');
  });

  it.for([
    ['--expect', '(', '"expect" is "("'],
    ['--fail-on', '[z-a]', '"fail-on" is "[z-a]"'],
    ['--timeout', '0', '"timeout" is "0"'],
    ['--attach', 'usb', '"attach" is "usb"'],
  ])('takes %s %s for wrong usage', async ([option, value, message]) => {
    const { code, stderr } = await runCli(['boot-test', '--image', 'a.img', option ?? '', value ?? ''], {
      cwd: folder,
    });
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it('gives QEMU the image as a snapshot, and passes on what is expected', async () => {
    await image('a.img', '');
    const env = await stubQemu('first\r\nlab ready\r\n');
    const args = ['--image', 'a.img', '--accelerator', 'tcg', '--expect', '^lab ready$', '--memory', '99', '--json'];
    const { code, stdout } = await runCli(['boot-test', ...args], { cwd: folder, env });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ verdict: 'passed', seconds: expect.any(Number), screenshot: '' });
    const argv = JSON.parse(await readFile(join(folder, 'argv'), 'utf8'));
    expect(argv.join(' ')).toMatch(/snapshot=on,file=\S+\/a\.img /);
    expect(argv).toContain('99M');
    expect(await readFile(join(folder, 'a.serial.log'), 'utf8')).toBe('first\nlab ready\n');
  });

  it('lets a failure win that comes with what is expected', async () => {
    await image('a.img', '');
    const env = await stubQemu('lab ready\nKernel panic - not syncing: Attempted to kill init!\n');
    const step = await runStep('boot-test', { image: 'a.img', expect: 'ready', ...emulated }, { cwd: folder, env });
    expect(step.code).toBe(1);
    expect(step.outputs).toMatchObject({ verdict: 'failed', 'serial-log': join(folder, 'a.serial.log') });
    expect(step.commands.find((line) => line.startsWith('error'))).toContain(
      'kernel panic: "Kernel panic - not syncing',
    );
    expect(step.summary).toContain('❌ failed');
  });

  it('keeps workflow commands of a console out of log and summary', async () => {
    await image('a.img', '');
    const env = await stubQemu('::error::forged\n| `cell` | \x1b[31m\nOOPS ::warning::x\n');
    const inputs = { image: 'a.img', 'fail-on': 'OOPS', ...emulated };
    const step = await runStep('boot-test', inputs, { cwd: folder, env });
    expect(step.code).toBe(1);
    expect(step.commands.some((line) => line.startsWith('error::forged'))).toBe(false);
    expect(step.stdout).not.toContain('\x1b');
    expect(step.summary.trim().split('\n').at(-1)?.split(' | ')).toHaveLength(5);
  });

  it('tells the last words of a QEMU that ends by itself', async () => {
    await image('a.img', '');
    const env = await stubQemu('', "console.error('qemu: no such\\nmachine'); process.exit(3);");
    const args = ['--image', 'a.img', '--accelerator', 'tcg', '--json'];
    const { code, stdout, stderr } = await runCli(['boot-test', ...args], { cwd: folder, env });
    expect([code, JSON.parse(stdout).verdict]).toEqual([1, 'failed']);
    expect(stderr).toContain('QEMU ended before "expect" was seen: "exit code 3: qemu: no such\\nmachine"');
  });

  it('ends QEMU and leaves nothing unfinished when it is interrupted', async () => {
    await image('a.img', '');
    const env = await stubQemu('', "process.kill(process.ppid, 'SIGTERM'); setInterval(() => {}, 1000);");
    const args = ['boot-test', '--image', 'a.img', '--accelerator', 'tcg', '--timeout', '40'];
    const { code, stderr } = await runCli(args, { cwd: folder, env });
    expect(code).toBe(1);
    expect(stderr).toContain('interrupted by SIGTERM');
    expect((await readdir(folder)).sort()).toEqual(['a.img', 'argv', 'bin']);
  });

  it('never takes an input for an output', async () => {
    await writeFile(join(folder, 'a.png'), bootSector('x'));
    const env = await stubQemu('login: ');
    const args = ['boot-test', '--image', 'a.png', '--accelerator', 'tcg'];
    const { code, stderr } = await runCli(args, { cwd: folder, env });
    expect(code).toBe(1);
    expect(stderr).toContain('give another "output-dir"');
    expect(await readFile(join(folder, 'a.png'))).toEqual(bootSector('x'));
  });
});

describeWithPeers('boot-test', ['qemu-system-x86_64', 'qemu-img'], () => {
  it('passes, with log and screenshot, and leaves the image alone', async () => {
    const path = await image('hello.img', 'hello\r\nlocalhost login: ');
    const before = await sha256File(path);
    const step = await runStep('boot-test', { image: path, 'output-dir': 'logs', ...emulated }, { cwd: folder });
    expect(step.code, step.stdout).toBe(0);
    const [log, screenshot] = [join(folder, 'logs/hello.serial.log'), join(folder, 'logs/hello.png')];
    expect(step.outputs).toMatchObject({ verdict: 'passed', 'serial-log': log, screenshot });
    expect(Number(step.outputs.seconds)).toBeGreaterThan(0);
    expect(await readFile(log, 'utf8')).toContain('hello\nlocalhost login: ');
    expect((await readFile(screenshot)).subarray(1, 4).toString()).toBe('PNG');
    expect(await sha256File(path)).toBe(before);
    expect(await readdir(join(folder, 'logs'))).toHaveLength(2);
    // There is no artifact service here.
    expect(step.commands.find((line) => line.startsWith('warning'))).toContain('boot-test-hello.img-disk-bios');
    expect(step.summary).toContain('✅ passed');
  });

  it('replaces the log of an earlier run', async () => {
    const path = await image('a.img', 'login: ');
    await writeFile(join(folder, 'a.serial.log'), 'old');
    const { code } = await runCli(['boot-test', '--image', path, '--accelerator', 'tcg'], { cwd: folder });
    expect(code).toBe(0);
    expect(await readFile(join(folder, 'a.serial.log'), 'utf8')).not.toContain('old');
  });

  it.for([
    [
      'power-off',
      ['going down\n', 'power-off'],
      [],
      'power-off before "expect" was seen; the console\'s last line is "going down"',
    ],
    ['timeout', ['waiting\n'], ['--timeout', '2'], 'timeout: "expect" was not seen within 2 s'],
    ['silence', [''], ['--timeout', '2'], 'the serial console stayed empty'],
    ['no boot sector', [], [], 'the BIOS says "Booting from Hard Disk... Boot failed: not a bootable disk"'],
    [
      'no boot sector on a CD-ROM',
      [],
      ['--attach', 'cdrom'],
      'no bootable device: the BIOS says "Booting from DVD/CD... Boot failed: ',
    ],
    ['fail-on', ['a, b\n'], ['--fail-on', 'a, b'], 'the console matches "fail-on" "a, b": "a, b"'],
  ] as const)('fails on %s and sets all outputs', async ([, [text, then], options, reason]) => {
    const path = await image('a.img', text ?? '', then);
    if (text === undefined) await writeFile(path, Buffer.alloc(1024 ** 2));
    const args = ['boot-test', '--image', path, '--accelerator', 'tcg', '--json', ...options];
    const { code, stdout, stderr } = await runCli(args, { cwd: folder });
    expect(code).toBe(1);
    expect(stderr).toContain(reason);
    const outputs = JSON.parse(stdout);
    expect(outputs).toMatchObject({ verdict: 'failed', seconds: expect.any(Number) });
    await access(outputs['serial-log']);
    await access(outputs.screenshot);
  });

  it('boots formats by their content, whatever their names are', async () => {
    const { execFile } = await import('node:child_process');
    const { promisify } = await import('node:util');
    const raw = await image('a.img', 'login: ');
    for (const format of ['qcow2', 'vdi']) {
      const path = join(folder, `${format}.iso`);
      await promisify(execFile)('qemu-img', ['convert', '-f', 'raw', '-O', format, raw, path]);
      const args = ['boot-test', '--image', path, '--accelerator', 'tcg', '--timeout', '50'];
      expect(await runCli(args, { cwd: folder })).toMatchObject({ code: 0 });
    }
  });
});
