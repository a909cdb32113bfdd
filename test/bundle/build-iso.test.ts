import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeDemoBase } from '../../scripts/demo-base.ts';
import { sha256File } from '../../src/io/hash.ts';
import { runCli, runStep } from '../support/bundle.ts';
import { writeK4allTree } from '../support/k4all-tree.ts';

let folder: string;
let workspace: string;
let base: string;
let out: string;
let run = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'k4all-build-'));
  workspace = join(folder, 'workspace');
  base = join(folder, 'base.iso');
  await mkdir(workspace);
  await writeK4allTree(workspace);
  await writeDemoBase(base);
});
beforeEach(() => {
  out = join(folder, `out-${run++}`);
});
afterAll(() => rm(folder, { recursive: true }));

/** `build-iso` of one small image, with more options behind. */
const buildOne = (...options: string[]) => {
  const defaults = {
    workspace: `--workspace=${workspace}`,
    'base-iso': `--base-iso=${base}`,
    roles: '--roles=worker',
    formats: '--formats=iso',
  };
  const kept = Object.entries(defaults).filter(([name]) => !options.some((option) => option.startsWith(`--${name}=`)));
  return runCli(['build-iso', `--output-dir=${out}`, ...kept.map(([, option]) => option), ...options]);
};

/** Names, modes, times and contents of a folder, to see that nothing in it changed. */
async function fingerprint(path: string): Promise<string[]> {
  const names = (await readdir(path, { recursive: true })).sort();
  return Promise.all(
    names.map(async (name) => {
      const { mode, mtimeMs, size } = await stat(join(path, name));
      return `${name} ${mode.toString(8)} ${mtimeMs} ${size}`;
    }),
  );
}

describe('build-iso', () => {
  it('builds nine files with checksums and a record, and leaves the workspace as it was', async () => {
    const before = await fingerprint(workspace);
    const { code, stdout, stderr } = await runCli(
      ['build-iso', '--base-iso', base, '--output-dir', out, '--version', '1.2.3-beta.1', '--json'],
      { cwd: workspace },
    );
    expect(stderr).toContain('Ignition area');
    expect(code).toBe(0);
    const outputs = JSON.parse(stdout);
    expect(outputs).toMatchObject({
      checksums: join(out, 'SHA256SUMS'),
      version: '1.2.3-beta.1',
      prerelease: true,
      'coreos-release': '44.20261101.3.0',
    });
    const names = ['bootstrap', 'control', 'worker'].flatMap((role) =>
      ['iso', 'qcow2', 'vdi'].map((format) => `k4all-${role}-1.2.3-beta.1-x86_64.${format}`),
    );
    expect(outputs.files.map(({ path }: { path: string }) => path)).toEqual(names.map((name) => join(out, name)));
    expect((await readdir(out)).sort()).toEqual([...names, 'SHA256SUMS', 'build-info.json'].sort());
    for (const file of outputs.files) {
      expect(file.sha256).toBe(await sha256File(file.path));
      expect(file.size).toBe((await stat(file.path)).size);
    }
    const sums = await readFile(join(out, 'SHA256SUMS'), 'utf8');
    expect(sums).toBe(outputs.files.map((f: { sha256: string }, i: number) => `${f.sha256}  ${names[i]}\n`).join(''));
    expect(await fingerprint(workspace)).toEqual(before);
  });

  it('records every input with its digest, and no time, host or absolute path', async () => {
    expect((await buildOne()).code).toBe(0);
    const text = await readFile(join(out, 'build-info.json'), 'utf8');
    const info = JSON.parse(text);
    expect(info.bases).toEqual([
      {
        architecture: 'x86_64',
        name: 'base.iso',
        release: '44.20261101.3.0',
        size: (await stat(base)).size,
        sha256: await sha256File(base),
      },
    ]);
    const inputs = new Map(info.inputs.map(({ path, sha256 }: { path: string; sha256: string }) => [path, sha256]));
    for (const path of ['k8s-base.bu', 'k8s-worker.bu', 'install.bu', 'scripts/step-00.sh', 'charts/values-0.yaml']) {
      expect(inputs.get(path)).toBe(await sha256File(join(workspace, path)));
    }
    expect(text).not.toContain(folder);
    expect(text).not.toMatch(/20\d\d-\d\d-\d\d/);
  });

  it('gives the same bytes again, from another folder too', async () => {
    const copy = join(folder, 'copy');
    await mkdir(copy);
    await writeK4allTree(copy);
    const options = ['--base-iso', base, '--version', '1', '--roles', 'control'];
    expect((await runCli(['build-iso', '--output-dir', `${out}-a`, ...options], { cwd: workspace })).code).toBe(0);
    const second = await runCli(['build-iso', '--output-dir', `${out}-b`, ...options], {
      cwd: copy,
      env: { TZ: 'Asia/Tokyo' },
    });
    expect(second.code).toBe(0);
    const names = await readdir(`${out}-a`);
    expect(names).toHaveLength(5);
    for (const name of names) {
      expect(await readFile(join(`${out}-a`, name))).toEqual(await readFile(join(`${out}-b`, name)));
    }
  });

  it('carries the role inside the live config and appends kernel arguments', async () => {
    expect((await buildOne('--kernel-arguments=console=ttyS0,115200', '--version=1')).code).toBe(0);
    const shown = await runCli(['inspect-iso', '--json', '--iso', join(out, 'k4all-worker-1-x86_64.iso')]);
    const info = JSON.parse(shown.stdout);
    expect(info.pristine).toBe(false);
    expect(info['kernel-arguments'].slice(-2)).toEqual(['coreos.liveiso.fromram', 'console=ttyS0,115200']);
    const live = JSON.parse(info.ignition);
    const files: { path: string; mode: number }[] = live.storage.files;
    expect(files.find(({ path }) => path === '/usr/local/bin/k8s.ign')?.mode).toBe(0o600);
    expect(files.find(({ path }) => path === '/usr/local/bin/lib/install-0.sh')?.mode).toBe(0o755);
  });

  it('overwrites nothing without force', async () => {
    expect((await buildOne('--version=1')).code).toBe(0);
    const before = await fingerprint(out);
    const again = await buildOne('--version=1');
    expect(again.code).toBe(1);
    expect(again.stderr).toContain(`${join(out, 'k4all-worker-1-x86_64.iso')} exists already`);
    expect(await fingerprint(out)).toEqual(before);
    expect((await buildOne('--version=1', '--force')).code).toBe(0);
  });

  it('takes the version from the git ref', async () => {
    const env = { GITHUB_REF: 'refs/tags/v2.0.0-rc.1' };
    const args = ['build-iso', '--base-iso', base, '--output-dir', out, '--roles=worker', '--formats=iso', '--json'];
    const { stdout } = await runCli(args, { cwd: workspace, env });
    expect(JSON.parse(stdout)).toMatchObject({ version: 'v2.0.0-rc.1', prerelease: true });
  });
});

describe('build-iso as a step', () => {
  it('sets outputs and writes a summary', async () => {
    const step = await runStep(
      'build-iso',
      {
        workspace: '.',
        'base-iso': base,
        'output-dir': out,
        roles: 'control\nworker',
        formats: 'iso',
        version: '3',
        secrets: 'warn',
        'boot-test': 'false',
        release: 'FALSE',
        force: 'false',
      },
      { cwd: workspace },
    );
    expect(step.code).toBe(0);
    expect(step.outputs).toMatchObject({ version: '3', prerelease: 'false', 'coreos-release': '44.20261101.3.0' });
    const files = JSON.parse(step.outputs.files ?? '');
    expect(files).toHaveLength(2);
    expect(step.summary).toContain(files[0].sha256);
    expect(step.summary).toMatch(/\| control \| x86_64 \| .* of 256 KiB \| \d+\.\d % \|/);
    expect(step.commands).toContain('group::Compile the Butane files');
  });

  it('turns a Butane error into an annotation on the Butane file', async () => {
    const broken = join(folder, 'broken');
    await mkdir(broken);
    await writeK4allTree(broken);
    await writeFile(
      join(broken, 'k8s-worker.bu'),
      'variant: fcos\nversion: 1.5.0\nstorage:\n  files:\n    - path: relative\n',
    );
    const step = await runStep('build-iso', { 'base-iso': base, 'output-dir': out, formats: 'iso' }, { cwd: broken });
    expect(step.code).toBe(1);
    expect(step.commands.join('\n')).toMatch(/error file=k8s-worker\.bu,line=5,col=\d+::.*path not absolute/);
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });
});

describe('build-iso refuses', () => {
  const refused = async (code: number, message: string | RegExp, ...options: string[]) => {
    const result = await buildOne(...options);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
    expect(result.stdout).toBe('');
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  };

  it('an unknown option', () => refused(2, /unknown option '--frmats/, '--frmats=iso'));
  it('an unknown format', () => refused(2, /"formats" is "ova", but takes iso, qcow2, vdi, raw/, '--formats=ova'));
  it('a version that is no file name', () => refused(2, /"version" is "1\/2"/, '--version=1/2'));
  it('a name that is none', () => refused(2, /"name" is "a b"/, '--name=a b'));
  it('a boolean that is none', () => refused(2, /force/, '--force=maybe'));
  it('a role without a Butane file', () =>
    refused(1, /the Butane file "k8s-queen\.bu" of the role "queen" is not in the workspace/, '--roles=queen'));
  it('a missing workspace', () => refused(1, /workspace/, '--workspace=/nonexistent/k4all'));
  it('a missing definition', () => refused(1, /"definition": there is no file .*none\.yaml/, '--definition=none.yaml'));
  it('another architecture than the base has', () =>
    refused(1, /is an ISO for x86_64, but "architectures" asks for aarch64/, '--architectures=aarch64'));
  it('one base for two architectures', () =>
    refused(2, /"base-iso" takes architecture=path/, '--architectures=aarch64,x86_64'));
  it('a disk smaller than the image', () =>
    refused(1, /"disk-size" is 1048576 bytes, but "base\.iso" has \d+/, '--formats=iso,qcow2', '--disk-size=1M'));

  it('a base that would be overwritten', async () => {
    const only = join(folder, 'only');
    await mkdir(only);
    const named = join(only, 'k4all-worker-1-x86_64.iso');
    await cp(base, named);
    const options = [`--workspace=${workspace}`, '--roles=worker', '--formats=iso', '--version=1', '--force'];
    const result = await runCli(['build-iso', `--base-iso=${named}`, `--output-dir=${only}`, ...options]);
    expect(result).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"base-iso" and an output are the same file'),
    });
    expect((await readFile(named)).equals(await readFile(base))).toBe(true);
    expect(await readdir(only)).toHaveLength(1);
  });

  it('an unknown stanza in k4all.yaml, with its place', async () => {
    const other = join(folder, 'other');
    await mkdir(other);
    await writeFile(join(other, 'k4all.yaml'), 'name: other\nroless: [a]\n');
    await refused(1, /k4all\.yaml:2:1: error: the definition has the unknown key "roless"/, `--workspace=${other}`);
  });

  it('a base that is no ISO, is truncated, or missing', async () => {
    const text = join(folder, 'text.iso');
    await writeFile(text, 'this is not an ISO');
    await refused(2, /"base-iso" is given twice/, `--base-iso=${text}`, `--base-iso=${text}`);
    const of = (path: string) => buildOne(`--base-iso=${path}`);
    expect(await of(text)).toMatchObject({ code: 1, stderr: expect.stringContaining('text.iso') });
    const cut = join(folder, 'cut.iso');
    await writeFile(cut, (await readFile(base)).subarray(0, 200_000));
    expect(await of(cut)).toMatchObject({ code: 1, stderr: expect.stringContaining('cut.iso') });
    expect(await of(join(folder, 'no.iso'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is no such file'),
    });
    await expect(readdir(out)).rejects.toThrow('ENOENT');
  });

  it('a Butane file that reaches outside the workspace', async () => {
    const leaving = join(folder, 'leaving');
    await mkdir(leaving);
    await symlink('/etc', join(leaving, 'link'));
    await writeFile(
      join(leaving, 'a.bu'),
      'variant: fcos\nversion: 1.5.0\nstorage:\n  files:\n    - path: /a\n      contents: {local: link/hostname}\n',
    );
    await writeFile(join(leaving, 'k4all.yaml'), 'ignition: [{butane: a.bu, output: install.ign}]\n');
    await refused(1, /a\.bu:6:\d+: error: .*leads out of the folder/, `--workspace=${leaving}`);
  });
});
