import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command, parseTargets } from '../../src/commands/generate-ignition.ts';
import { parseInputs } from '../../src/commands/inputs.ts';
import type { OutputFile } from '../../src/commands/outputs.ts';
import type { Host } from '../../src/host/host.ts';
import { type Finding, FindingsError, UsageError } from '../../src/io/errors.ts';
import { sha256 } from '../../src/io/hash.ts';

const HEAD = 'variant: fcos\nversion: 1.5.0\n';
const EMPTY = '{"ignition":{"version":"3.4.0"}}\n';

let cwd: string;
let reported: Finding[];
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'generate-'));
  reported = [];
});
afterEach(() => rm(cwd, { recursive: true }));

async function put(files: Record<string, string>): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(cwd, path)), { recursive: true });
    await writeFile(join(cwd, path), content);
  }
}

/** Runs the command in `cwd` with its inputs as texts. */
async function run(given: Record<string, string>): Promise<{ files: OutputFile[]; spec: string }> {
  const texts = Object.fromEntries(Object.entries(given).map(([name, text]) => [name, [text]]));
  const host = { cwd, info: () => {}, report: (finding: Finding) => reported.push(finding) } as unknown as Host;
  const outputs = await command.run(parseInputs(command.inputs, texts), host);
  return { files: outputs.files as OutputFile[], spec: outputs['spec-version'] ?? '' };
}

const read = (path: string) => readFile(join(cwd, path), 'utf8');

async function findingsOf(given: Record<string, string>): Promise<FindingsError> {
  const error = await run(given).catch((thrown: unknown) => thrown);
  if (error instanceof FindingsError) return error;
  throw new Error(`no findings: ${error}`);
}

describe('parseTargets', () => {
  it('names results after the stem, or as they are given', () => {
    expect(parseTargets(['k8s.bu', 'roles/control.bu', 'a.b.yaml', 'x.bu=sub/y.ign', 'a=b.bu=c.ign'])).toEqual([
      { butane: 'k8s.bu', output: 'k8s.ign' },
      { butane: 'roles/control.bu', output: 'control.ign' },
      { butane: 'a.b.yaml', output: 'a.b.ign' },
      { butane: 'x.bu', output: 'sub/y.ign' },
      { butane: 'a=b.bu', output: 'c.ign' },
    ]);
  });

  it.each([
    '=x.ign',
    'a.bu=',
    'a.bu=../x',
    'a.bu=/etc/x',
    'a.bu=a//b',
    'a.bu=a/./b',
    'a.bu=..\\x',
    'a.bu=C:x',
    'a.bu=a/',
  ])('refuses %s', (text) => expect(() => parseTargets([text])).toThrow(UsageError));

  it('refuses two results of one name, and tells all mistakes', () => {
    expect(() => parseTargets(['a.bu', 'b/a.bu', '=x'])).toThrow(/"a\.bu" and "b\/a\.bu".*"a\.ign"[\s\S]*"=x"/);
  });
});

describe('generate-ignition', () => {
  it('compiles a chain in which later files use earlier results', async () => {
    await put({
      'base.bu': `${HEAD}storage: {trees: [{local: scripts, path: /opt}]}\n`,
      'role.bu': `${HEAD}ignition: {config: {merge: [{local: base.ign}]}}\n`,
      'install.bu':
        'variant: fcos\nversion: 1.6.0\nstorage: {files: [{path: /k8s.ign, contents: {local: nested/k8s.ign}}]}\n',
      'scripts/run.sh': '#!/bin/sh\n',
    });
    const { files, spec } = await run({
      butane: 'base.bu,role.bu=nested/k8s.ign,install.bu',
      'output-dir': 'out',
      executable: 'scripts/**',
    });
    expect(files.map(({ path }) => path)).toEqual([
      join('out', 'base.ign'),
      join('out', 'nested/k8s.ign'),
      join('out', 'install.ign'),
    ]);
    expect(spec).toBe('3.5.0');
    for (const { path, size, sha256: digest } of files) {
      const content = await read(path);
      expect([Buffer.byteLength(content), sha256(content)]).toEqual([size, digest]);
    }
    expect(JSON.parse(await read('out/base.ign')).storage.files[0].mode).toBe(0o755);
    expect((await stat(join(cwd, 'scripts/run.sh'))).mode & 0o111).toBe(0);
    expect((await readdir(cwd)).sort()).toEqual(['base.bu', 'install.bu', 'out', 'role.bu', 'scripts']);
  });

  it('takes a Butane file from anywhere, and local files from files-dir', async () => {
    await put({
      'elsewhere/a.bu': `${HEAD}storage: {files: [{path: /f, contents: {local: f}}]}\n`,
      'elsewhere/f': 'wrong',
      'files/f': 'right',
    });
    await run({ butane: join(cwd, 'elsewhere/a.bu'), 'files-dir': 'files' });
    expect(await read('a.ign')).toContain('data:,right');
  });

  it('indents when pretty', async () => {
    await put({ 'a.bu': HEAD });
    await run({ butane: 'a.bu', pretty: 'true' });
    expect(await read('a.ign')).toBe('{\n  "ignition": {\n    "version": "3.4.0"\n  }\n}\n');
  });

  it('writes a MachineConfig for OpenShift', async () => {
    const metadata = 'metadata: {name: n, labels: {machineconfiguration.openshift.io/role: worker}}\n';
    await put({ 'a.bu': `variant: openshift\nversion: 4.20.0\n${metadata}` });
    const { spec } = await run({ butane: 'a.bu' });
    expect(spec).toMatch(/^3\.\d\.0$/);
    expect(await read('a.ign')).toContain('kind: MachineConfig');
  });

  it('reports warnings, and fails on them only when strict', async () => {
    await put({ 'a.bu': `${HEAD}foo: 1\n` });
    await run({ butane: 'a.bu', strict: 'false' });
    const warning = { severity: 'warning', location: { file: 'a.bu', line: 3, column: 1 } };
    expect(reported).toMatchObject([warning]);
    expect(await read('a.ign')).toBe(EMPTY);
    await rm(join(cwd, 'a.ign'));
    expect((await findingsOf({ butane: 'a.bu' })).findings).toMatchObject([warning]);
    expect(await readdir(cwd)).toEqual(['a.bu']);
  });

  it('tells the findings of all files, but none that only follow from others, and writes nothing', async () => {
    await put({
      'good.bu': HEAD,
      'bad.bu': `${HEAD}storage: {files: [{path: a}]}\n`,
      'after.bu': `${HEAD}ignition: {config: {merge: [{local: bad.ign}]}}\n`,
      'worse.bu': `${HEAD}storage: {files: [{path: /b, contents: {local: missing}}]}\n`,
    });
    const error = await findingsOf({ butane: 'good.bu,bad.bu,after.bu,worse.bu', 'output-dir': 'out' });
    expect(error.findings.map(({ location }) => location?.file)).toEqual(['bad.bu', 'worse.bu']);
    expect(error.message.split('\n')).toEqual(['bad.bu: Butane found 1 error', 'worse.bu: Butane found 1 error']);
    expect(await readdir(cwd)).not.toContain('out');
  });
});

describe('existing files', () => {
  it('with the same bytes stay as they are', async () => {
    await put({ 'a.bu': HEAD, 'a.ign': EMPTY });
    await chmod(join(cwd, 'a.ign'), 0o400);
    const before = await stat(join(cwd, 'a.ign'));
    await run({ butane: 'a.bu' });
    expect((await stat(join(cwd, 'a.ign'))).ino).toBe(before.ino);
  });

  it('with other bytes are an error before anything is written', async () => {
    await put({ 'a.bu': HEAD, 'b.bu': HEAD, 'b.ign': 'mine' });
    await expect(run({ butane: 'a.bu,b.bu' })).rejects.toThrow(
      /b\.ign exists already with other contents.*"output-dir"/,
    );
    expect(await read('b.ign')).toBe('mine');
    expect((await readdir(cwd)).sort()).toEqual(['a.bu', 'b.bu', 'b.ign']);
  });

  it('under the name of a result are hidden from Butane by it', async () => {
    await put({ 'a.bu': HEAD, 'b.bu': `${HEAD}ignition: {config: {merge: [{local: a.ign}]}}\n`, 'a.ign': 'stale' });
    await run({ butane: 'a.bu,b.bu', 'output-dir': 'out' });
    expect(await read('a.ign')).toBe('stale');
  });

  it('that are inputs are never outputs', async () => {
    const merging = `${HEAD}ignition: {config: {merge: [{local: b.ign}]}}\n`;
    await put({ 'a.bu': merging, 'b.bu': HEAD, 'b.ign': EMPTY });
    await expect(run({ butane: 'b.bu=a.bu' })).rejects.toThrow(/exists already/);
    await expect(run({ butane: 'b.bu=b.bu' })).rejects.toThrow(/"b\.bu" is an input too/);
    await expect(run({ butane: 'a.bu,b.bu' })).rejects.toThrow(/"b\.ign" is an input too: put "b\.bu" before/);
    expect(await read('b.bu')).toBe(HEAD);
  });

  it('that are folders are an error', async () => {
    await put({ 'a.bu': HEAD, 'a.ign/x': '' });
    await expect(run({ butane: 'a.bu', 'files-dir': 'a.ign' })).rejects.toThrow(/a\.ign is a folder/);
  });
});

describe('bad input', () => {
  it('names every Butane file that is missing or no file', async () => {
    await put({ 'dir/x': '' });
    await expect(run({ butane: 'missing.bu,dir,dir/x/y.bu' })).rejects.toThrow(
      /"missing\.bu", which doesn't exist[\s\S]*"dir", which isn't a regular file[\s\S]*"dir\/x\/y\.bu", which doesn't exist/,
    );
  });

  it('names a files-dir that is none', async () => {
    await put({ 'a.bu': HEAD });
    await expect(run({ butane: 'a.bu', 'files-dir': 'missing' })).rejects.toThrow(/"files-dir" is "missing"/);
    await expect(run({ butane: 'a.bu', 'files-dir': 'a.bu' })).rejects.toThrow(
      /"files-dir" is "a\.bu".*isn't a folder/,
    );
  });

  it('names a result that stands in its own way', async () => {
    await put({ 'a.bu': HEAD, f: '' });
    await expect(run({ butane: 'a.bu=f/x.ign' })).rejects.toThrow(/"f\/x\.ign"/);
  });

  it('is wrong usage where the command line alone shows it', async () => {
    await expect(run({})).rejects.toThrow(UsageError);
    await expect(run({ butane: 'a.bu=../x' })).rejects.toThrow(UsageError);
  });
});
