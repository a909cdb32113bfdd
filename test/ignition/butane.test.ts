import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Butane, type Compiled, startButane, VirtualTree } from '../../src/ignition/index.ts';
import { FindingsError } from '../../src/io/errors.ts';

const HEAD = 'variant: fcos\nversion: 1.5.0\n';
const bytes = (content: string) => new TextEncoder().encode(content);

let folder: string;
let files: string;
let butane: Butane;
const globalsBefore = Object.getOwnPropertyNames(globalThis);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'butane-'));
  files = join(folder, 'files');
  await mkdir(join(files, 'tree'), { recursive: true });
  await writeFile(join(folder, 'secret'), 'outside');
  await writeFile(join(files, 'tree/run.sh'), '#!/bin/sh\n');
  await writeFile(join(files, 'key.pub'), 'ssh-ed25519 AAAA core\n');
  butane = await startButane();
});
afterAll(() => rm(folder, { recursive: true }));

function compile(config: string, options: { strict?: boolean; pretty?: boolean; tree?: VirtualTree } = {}): Compiled {
  const { strict = false, pretty = false, tree = new VirtualTree(files) } = options;
  return butane.compile({ source: bytes(config), name: 'k8s.bu', tree, strict, pretty });
}

/** The failure of compiling a config; fails if it compiles. */
function failure(config: string, options: { strict?: boolean } = {}): FindingsError {
  try {
    compile(config, options);
  } catch (error) {
    if (error instanceof FindingsError) return error;
    throw error;
  }
  throw new Error('this compiled');
}

const json = ({ ignition }: Compiled) => JSON.parse(new TextDecoder().decode(ignition));

describe('compile', () => {
  it('gives what the command writes, final newline included', () => {
    expect(new TextDecoder().decode(compile(HEAD).ignition)).toBe('{"ignition":{"version":"3.4.0"}}\n');
    expect(new TextDecoder().decode(compile(HEAD, { pretty: true }).ignition)).toBe(
      '{\n  "ignition": {\n    "version": "3.4.0"\n  }\n}\n',
    );
  });

  it('sees generated files, executable bits, and what it read', () => {
    const tree = new VirtualTree(files, { executable: ['tree/**'] });
    tree.put('base.ign', compile(HEAD).ignition);
    const config = `${HEAD}ignition: {config: {merge: [{local: base.ign}]}}\nstorage: {trees: [{local: tree, path: /opt}]}\n`;
    const { ignition, storage } = json(compile(config, { tree }));
    expect(ignition.config.merge[0].source).toBe(
      `data:;base64,${Buffer.from('{"ignition":{"version":"3.4.0"}}\n').toString('base64')}`,
    );
    expect(storage.files).toMatchObject([{ path: '/opt/run.sh', mode: 0o755 }]);
    expect(tree.readFiles().map(({ path }) => path)).toEqual(['tree/run.sh']);
  });

  it('is repeatable with other trees', async () => {
    const other = join(folder, 'other');
    await mkdir(other);
    await writeFile(join(other, 'f'), 'other');
    const config = `${HEAD}storage: {files: [{path: /f, contents: {local: f}}]}\n`;
    const first = new VirtualTree(files);
    first.put('f', bytes('first'));
    expect(json(compile(config, { tree: first })).storage.files[0].contents.source).toBe('data:,first');
    expect(json(compile(config, { tree: new VirtualTree(other) })).storage.files[0].contents.source).toBe(
      'data:,other',
    );
    expect(failure(config).findings[0]?.message).toMatch(/no such file/i);
  });

  it('leaves no global behind, and does not end the process', () => {
    expect(Object.getOwnPropertyNames(globalThis)).toEqual(globalsBefore);
    expect(globalThis).not.toHaveProperty('fs');
    expect(globalThis).not.toHaveProperty('Go');
  });
});

describe('findings', () => {
  const warning = `${HEAD}storage:\n  files:\n    - path: /a\n      foo: 1\n`;

  it('are warnings with file, line and column', () => {
    expect(compile(warning).findings).toEqual([
      {
        severity: 'warning',
        message: 'unused key foo ($.storage.files.0.foo)',
        location: { file: 'k8s.bu', line: 6, column: 7 },
      },
    ]);
  });

  it('fail when strict', () => {
    const error = failure(warning, { strict: true });
    expect(error.message).toBe('k8s.bu: Butane found 1 warning, and "strict" makes that a failure');
    expect(error.findings).toHaveLength(1);
    expect(compile(HEAD, { strict: true }).findings).toEqual([]);
  });

  it('are errors with file, line and column', () => {
    const error = failure(`${HEAD}storage:\n  files:\n    - path: relative\n    - path: /b\n      mode: 01000000\n`);
    expect(error.message).toBe('k8s.bu: Butane found 2 errors');
    expect(error.findings).toMatchObject([
      { severity: 'error', location: { line: 5, column: 13 } },
      { severity: 'error', location: { line: 7, column: 13 } },
    ]);
  });

  it('come in the order of the file', () => {
    const keys = [...'zyxwvutsrq'].map((key) => `${key}: 1\n`);
    const lines = compile(HEAD + keys.join('')).findings.map(({ location }) => location?.line);
    expect(lines).toEqual([3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  });

  it.each([
    ['broken YAML', `${HEAD}\tx: 1\n`, 2],
    ['a repeated key', `${HEAD}storage: {}\nstorage: {}\n`, 4],
    ['a wrong type', `${HEAD}storage: 5\n`, 3],
    ['no mapping', 'hello\n', 1],
  ])('have the line of %s', (_, config, line) => {
    expect(failure(config).findings).toMatchObject([{ severity: 'error', location: { file: 'k8s.bu', line } }]);
  });

  it.each([
    ['', /variant; must be specified/],
    ['variant: fcos\n', /version; must be a valid semver/],
    ['variant: fcos\nversion: 9.9.9\n', /No translator exists for variant fcos with version 9\.9\.9/],
    ['variant: nonsense\nversion: 1.0.0\n', /No translator exists/],
    ['variant: rhcos\nversion: 0.1.0\n', /use openshift variant instead/],
    ['\0\xff\xfe', /control characters/],
  ])('of %j are errors of the file', (config, message) => {
    const { findings } = failure(config);
    expect(findings).toMatchObject([{ severity: 'error', location: { file: 'k8s.bu' } }]);
    expect(findings[0]?.message).toMatch(message);
  });
});

describe('what leaves files-dir', () => {
  const local = (path: string) =>
    `${HEAD}storage:\n  files:\n    - {path: /f, contents: {local: ${JSON.stringify(path)}}}\n`;
  const tree = (path: string) => `${HEAD}storage:\n  trees:\n    - {local: ${JSON.stringify(path)}, path: /f}\n`;

  it.each(['../secret', 'tree/../../secret', '..', '../files-too'])('%s is refused', (path) => {
    for (const config of [local(path), tree(path)]) {
      expect(failure(config).findings).toMatchObject([{ severity: 'error', location: { line: 5 } }]);
    }
  });

  it('an absolute path is one in files-dir', () => {
    expect(failure(local('/etc/passwd')).findings[0]?.message).toMatch(/open etc\/passwd: no such file/i);
    expect(failure(local(join(folder, 'secret'))).findings[0]?.message).toMatch(/no such file/i);
  });

  it('a link is refused with the reason where it is followed', async () => {
    await symlink('../secret', join(files, 'link'));
    await symlink('..', join(files, 'up'));
    expect(failure(local('link')).findings[0]?.message).toMatch(/"link" leads out of the folder, to "\.\.\/secret"/);
    expect(failure(local('up/secret')).findings[0]?.message).toMatch(/leads out of the folder/);
    expect(failure(tree('up')).findings[0]?.message).toMatch(/leads out of the folder/);
  });

  it('a link in a tree is copied as a link', async () => {
    await mkdir(join(files, 'links'));
    for (const [name, target] of Object.entries({ out: '/etc/passwd', up: '../../x', none: 'nowhere', self: 'self' })) {
      await symlink(target, join(files, 'links', name));
    }
    expect(json(compile(tree('links'))).storage.links).toEqual([
      { path: '/f/none', target: 'nowhere' },
      { path: '/f/out', target: '/etc/passwd' },
      { path: '/f/self', target: 'self' },
      { path: '/f/up', target: '../../x' },
    ]);
  });

  it('endless links and other kinds of files are errors', async () => {
    await symlink('circle', join(files, 'circle'));
    expect(failure(local('circle')).findings[0]?.message).toMatch(/symbolic links/i);
    expect(failure(local('tree')).findings[0]?.message).toMatch(/is a directory/i);
    expect(failure(tree('key.pub')).findings[0]?.message).toMatch(/root of tree must be a directory/);
  });

  it('a file that no Ignition config could carry is refused unread', async () => {
    await writeFile(join(files, 'huge'), '');
    await truncate(join(files, 'huge'), 8 * 1024 ** 3);
    expect(failure(local('huge')).findings[0]?.message).toMatch(/"huge" is too large: 8589934592 bytes/);
  });
});

describe('hostile configs', () => {
  it('that nest too deeply for the stack are an error, and Butane says that it is gone', async () => {
    const own = await startButane();
    const attempt = (config: string) =>
      own.compile({
        source: bytes(config),
        name: 'deep.bu',
        tree: new VirtualTree(files),
        strict: false,
        pretty: false,
      });
    expect(() => attempt(`${HEAD}a: ${'['.repeat(9_900)}${']'.repeat(9_900)}\n`)).toThrow(
      /^deep\.bu: Butane crashed: /,
    );
    expect(() => attempt(HEAD)).toThrow(/Butane crashed/);
  });

  it('that nest deeper than YAML may, or multiply aliases, are answered', () => {
    expect(failure(`${HEAD}a: ${'['.repeat(100_000)}`).findings[0]?.message).toMatch(/max depth/);
    const names = [...'abcdefghi'];
    const bomb = names.map(
      (name, i) =>
        `${name}: &${name} [${Array(9)
          .fill(i ? `*${names[i - 1]}` : 'x')
          .join(',')}]\n`,
    );
    expect(compile(HEAD + bomb.join('')).findings).toHaveLength(9);
  });
});

describe('validate', () => {
  it('accepts what Butane makes', () => {
    expect(butane.validate(compile(HEAD).ignition, 'k8s.ign')).toEqual([]);
  });

  it('tells what is wrong, and where', () => {
    const config = '{"ignition": {"version": "3.4.0"},\n "storage": {"files": [{"path": "relative"}]}}';
    expect(butane.validate(bytes(config), 'k8s.ign')).toMatchObject([
      { severity: 'error', location: { file: 'k8s.ign', line: 2 } },
    ]);
    expect(butane.validate(bytes('{"ignition": {"version": "9.0.0"}}'), 'k8s.ign')).toMatchObject([
      { severity: 'error' },
    ]);
    expect(butane.validate(bytes('not json'), 'k8s.ign')).toMatchObject([{ severity: 'error' }]);
    expect(butane.validate(bytes(''), 'k8s.ign')).toMatchObject([{ severity: 'error' }]);
  });
});
