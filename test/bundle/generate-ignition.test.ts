import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCli, runStep } from '../support/bundle.ts';

const HEAD = 'variant: fcos\nversion: 1.5.0\n';

let cwd: string;
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'generate-bundle-'));
  await mkdir(join(cwd, 'ignition'));
  await writeFile(join(cwd, 'ignition/base.bu'), HEAD);
  await writeFile(join(cwd, 'ignition/role.bu'), `${HEAD}ignition: {config: {merge: [{local: base.ign}]}}\n`);
  await writeFile(join(cwd, 'ignition/warned.bu'), `${HEAD}storage:\n  files:\n    - path: /a\n      foo: 1\n`);
});
afterEach(() => rm(cwd, { recursive: true }));

describe('generate-ignition from the bundle', () => {
  it('is a command', async () => {
    const args = ['--butane', 'ignition/base.bu', '--butane=ignition/role.bu=k8s.ign', '--output-dir', 'out', '--json'];
    const { code, stdout } = await runCli(['generate-ignition', ...args], { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      files: [{ path: join('out', 'base.ign') }, { path: join('out', 'k8s.ign') }],
      'spec-version': '3.4.0',
    });
    expect(await readFile(join(cwd, 'out/base.ign'), 'utf8')).toBe('{"ignition":{"version":"3.4.0"}}\n');
  });

  it('tells warnings as compilers do, and exits with 1 when strict', async () => {
    const lax = await runCli(['generate-ignition', '--butane', 'ignition/warned.bu', '--no-strict'], { cwd });
    expect([lax.code, lax.stderr]).toEqual([
      0,
      expect.stringContaining('ignition/warned.bu:6:7: warning: unused key foo'),
    ]);
    await rm(join(cwd, 'warned.ign'));
    const strict = await runCli(['generate-ignition', '--butane', 'ignition/warned.bu'], { cwd });
    expect([strict.code, strict.stderr]).toEqual([1, expect.stringContaining('"strict"')]);
  });

  it('exits with 2 on wrong usage', async () => {
    expect((await runCli(['generate-ignition'], { cwd })).code).toBe(2);
    expect((await runCli(['generate-ignition', '--butane', 'ignition/base.bu=../x'], { cwd })).code).toBe(2);
  });

  it('is an action whose warnings are annotations on the Butane file', async () => {
    const inputs = { butane: 'ignition/base.bu\nignition/warned.bu', strict: 'false', 'output-dir': 'out' };
    const { code, outputs, commands } = await runStep('generate-ignition', inputs, { cwd });
    expect(code).toBe(0);
    expect(JSON.parse(outputs.files ?? '')).toHaveLength(2);
    expect(outputs['spec-version']).toBe('3.4.0');
    expect(commands).toEqual([
      expect.stringMatching(/^warning file=ignition\/warned\.bu,line=6,col=7::unused key foo/),
    ]);
  });

  it('names the file from the top of the workspace in whatever folder it runs', async () => {
    const options = { cwd: tmpdir(), env: { GITHUB_WORKSPACE: cwd } };
    const { code, commands } = await runStep('generate-ignition', { butane: 'ignition/warned.bu' }, options);
    expect(code).toBe(1);
    expect(commands[0]).toMatch(/^warning file=ignition\/warned\.bu,line=6,col=7::/);
    expect(commands.at(-1)).toMatch(/^error::generate-ignition: /);
  });
});
