import { execFile, spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Butane, startButane, VirtualTree } from '../../src/ignition/index.ts';
import { type Finding, FindingsError } from '../../src/io/errors.ts';
import { describeWithPeers } from '../support/peers.ts';

/** Every variant and version that Butane 0.29.0 knows. */
const SPECS: Readonly<Record<string, readonly string[]>> = {
  fcos: ['1.0.0', '1.1.0', '1.2.0', '1.3.0', '1.4.0', '1.5.0', '1.6.0', '1.7.0', '1.8.0-experimental'],
  flatcar: ['1.0.0', '1.1.0', '1.2.0-experimental'],
  openshift: [...Array.from({ length: 15 }, (_, minor) => `4.${minor + 8}.0`), '4.23.0-experimental'],
  r4e: ['1.0.0', '1.1.0', '1.2.0-experimental'],
  fiot: ['1.0.0', '1.1.0-experimental'],
};
const specs = Object.entries(SPECS).flatMap(([variant, versions]) => versions.map((version) => ({ variant, version })));

interface Outcome {
  readonly code: number;
  readonly output: Buffer;
  readonly messages: readonly string[];
}

let folder: string;
let butane: Butane;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'peer-butane-'));
  const files: Record<string, string | Uint8Array> = {
    'scripts/run.sh': '#!/bin/sh\necho run\n',
    'scripts/lib/common.sh': `${'# a line that compresses well\n'.repeat(200)}`,
    'scripts/lib/.hidden': '',
    'plain/empty': '',
    'plain/run': 'run',
    'scripts/with space & ü.txt': 'ü\n',
    'scripts/binary': Uint8Array.from({ length: 3000 }, (_, i) => (i * i * 7 + (i >> 3)) & 0xff),
    'key.pub': 'ssh-ed25519 AAAAC3Nza core@example\r\nssh-rsa AAAAB3 second\n',
    'unit.service': '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n',
    'child.ign': '{"ignition": {"version": "3.0.0"}}\n',
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, dirname(path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  await chmod(join(folder, 'plain/run'), 0o755);
  await chmod(join(folder, 'scripts/run.sh'), 0o750);
  await chmod(join(folder, 'scripts/lib/common.sh'), 0o601);
  await symlink('lib/common.sh', join(folder, 'scripts/link'));
  await symlink('../../outside/nowhere', join(folder, 'scripts/lib/dangling'));
  await symlink('scripts/lib', join(folder, 'alias'));
  butane = await startButane();
});
afterAll(() => rm(folder, { recursive: true }));

function native(config: string, options: readonly string[]): Outcome {
  const { status, stdout, stderr } = spawnSync('butane', ['--raw-errors', ...options, '-d', '.'], {
    cwd: folder,
    input: config,
  });
  const messages = stderr.toString('utf8').split('\n');
  return { code: status ?? -1, output: stdout, messages };
}

function ours(
  config: string,
  options: readonly string[],
): { code: number; output: Buffer; findings: readonly Finding[] } {
  try {
    const { ignition, findings } = butane.compile({
      source: new TextEncoder().encode(config),
      name: 'file.bu',
      tree: new VirtualTree(folder),
      strict: options.includes('--strict'),
      pretty: options.includes('--pretty'),
    });
    return { code: 0, output: Buffer.from(ignition), findings };
  } catch (error) {
    if (!(error instanceof FindingsError)) throw error;
    return { code: 1, output: Buffer.alloc(0), findings: error.findings };
  }
}

/** Compiles with both and compares bytes, verdict, and each message with its place. */
function compare(config: string, options: readonly string[] = ['--pretty']): { code: number } {
  const theirs = native(config, options);
  const own = ours(config, options);
  expect(own.output.toString('utf8')).toBe(theirs.output.toString('utf8'));
  expect(own.output.equals(theirs.output)).toBe(true);
  expect(own.code).toBe(theirs.code);
  const entries = theirs.messages.filter((line) => /^(error|warning|info)( at|:)/.test(line));
  if (entries.length > 0) expect(own.findings.map(rawEntry).sort()).toEqual(entries.map(lowerErrno).sort());
  return { code: theirs.code };
}

/** A finding as `--raw-errors` prints it: `warning at $.a, line 3 col 1: message`. */
function rawEntry({ severity, message, location }: Finding): string {
  const [, text = message, path] = /^(.*) \((\$.*)\)$/s.exec(message) ?? [];
  const place = location?.line ? `line ${location.line} col ${location.column}` : undefined;
  const at = [path, place].filter((part) => part !== undefined).join(', ');
  const kind = severity === 'notice' ? 'info' : severity;
  return lowerErrno(`${kind}${at === '' ? '' : ` at ${at}`}: ${text}`);
}

/** Go's texts for system errors begin with a capital letter on `js`. */
function lowerErrno(line: string): string {
  return line.replace(/: (No such|Is a|Not a|Too many|Permission)/, (text) => text.toLowerCase());
}

function config(variant: string, version: string, body = ''): string {
  const metadata = 'metadata: {name: n, labels: {machineconfiguration.openshift.io/role: worker}}\n';
  return `variant: ${variant}\nversion: ${version}\n${variant === 'openshift' ? metadata : ''}${body}`;
}

const RICH = `
storage:
  files:
    - path: /etc/inline
      mode: 0644
      contents: {inline: "ünïcode <&> \\u2028 ${'x'.repeat(100)}"}
    - path: /etc/local
      contents: {local: scripts/lib/common.sh}
    - path: /etc/through-a-link
      contents: {local: scripts/link}
    - path: /etc/remote
      contents: {source: "https://example.com/a", verification: {hash: "sha512-${'0'.repeat(128)}"}}
  trees:
    - {local: plain, path: /usr/local/lib}
    - {local: scripts, path: /usr/local/bin}
    - {local: alias/, path: /opt}
  directories:
    - {path: /var/data, mode: 0750}
  links:
    - {path: /etc/link, target: /etc/inline, hard: false}
systemd:
  units:
    - name: a.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/bin/true
        [Install]
        WantedBy=multi-user.target
      dropins: [{name: 10.conf, contents: "[Service]\\nNice=1\\n"}]
passwd:
  users: [{name: core, ssh_authorized_keys: [ssh-ed25519 AAAA]}]
`;

/** A MachineConfig can hold neither folders, links nor remote files. */
const RICH_OPENSHIFT = RICH.replace(/ {4}- \{local: scripts, .*(?=systemd:)/s, '').replace(
  / {4}- path: \/etc\/remote\n.*\n/,
  '',
);

const WARNINGS = `unknown: 1
storage: {files: [{path: /a, mode: 644, foo: 1}]}
systemd: {units: [{name: a.service, enabled: true, contents: "[Service]"}]}
`;

const ERRORS = `storage:
  files:
    - path: relative
    - path: relative
systemd: {units: [{name: a.service, contents: "nonsense ["}]}
`;

describeWithPeers('every variant compiles as native Butane does', ['butane'], () => {
  describe.each(specs)('$variant $version', ({ variant, version }) => {
    it('a minimal config, strictly', () => {
      compare(config(variant, version), ['--strict']);
    });

    it('files, trees, links, units and users', () => {
      const body = variant === 'openshift' ? RICH_OPENSHIFT : RICH;
      expect(compare(config(variant, version, body)).code).toBe(0);
    });

    it('warnings and errors', () => {
      compare(config(variant, version, WARNINGS), []);
      compare(config(variant, version, ERRORS));
    });
  });
});

describeWithPeers('features of the newest specs', ['butane'], () => {
  const newest = (body: string, options?: readonly string[]) => compare(config('fcos', '1.7.0', body), options);

  it.each([
    [
      'local units and keys',
      'systemd: {units: [{name: a.service, contents_local: unit.service}]}\npasswd: {users: [{name: core, ssh_authorized_keys_local: [key.pub]}]}\n',
    ],
    [
      'merged configs',
      'ignition: {config: {merge: [{local: child.ign}, {inline: "{\\"ignition\\": {\\"version\\": \\"3.6.0\\"}}"}]}}\n',
    ],
    ['luks and clevis', 'boot_device: {layout: x86_64, luks: {tpm2: true}, mirror: {devices: [/dev/sda, /dev/sdb]}}\n'],
    ['grub users', 'grub: {users: [{name: root, password_hash: "grub.pbkdf2.sha512.10000.AA"}]}\n'],
    ['kernel arguments', 'kernel_arguments: {should_exist: [a=b], should_not_exist: [quiet]}\n'],
    [
      'modes and owners of trees',
      'storage: {trees: [{local: scripts, path: /x, file_mode: 0600, dir_mode: 0700, user: {name: core}, group: {id: 3}}]}\n',
    ],
    [
      'a file that fills a node of a tree',
      'storage: {files: [{path: /x/run.sh, mode: 0700}], trees: [{local: scripts, path: /x}]}\n',
    ],
    [
      'disks and file systems',
      'storage: {disks: [{device: /dev/sda, wipe_table: true, partitions: [{label: var, size_mib: 100}]}], filesystems: [{device: /dev/disk/by-partlabel/var, path: /var, format: xfs, with_mount_unit: true}]}\n',
    ],
    [
      'nothing compressed',
      'storage: {files: [{path: /a, contents: {local: scripts/lib/common.sh, compression: gzip}}]}\n',
    ],
  ])('%s', (_, body) => {
    expect(newest(body).code).toBe(0);
    newest(body, []);
  });

  it.each([
    ['a missing file', 'storage: {files: [{path: /a, contents: {local: missing}}]}\n'],
    ['a missing tree', 'storage: {trees: [{local: missing}]}\n'],
    ['a folder as a file', 'storage: {files: [{path: /a, contents: {local: scripts}}]}\n'],
    ['a file as a tree', 'storage: {trees: [{local: key.pub}]}\n'],
    ['a file as a folder', 'storage: {files: [{path: /a, contents: {local: key.pub/x}}]}\n'],
    ['a path above', 'storage: {files: [{path: /a, contents: {local: ../x}}]}\n'],
    ['a tree above', 'storage: {trees: [{local: scripts/../..}]}\n'],
    ['an absolute path', 'storage: {files: [{path: /a, contents: {local: /key.pub}}]}\n'],
    ['a dangling link', 'storage: {files: [{path: /a, contents: {local: scripts/lib/dangling}}]}\n'],
    ['a node twice', 'storage: {links: [{path: /x/run.sh, target: /a}], trees: [{local: scripts, path: /x}]}\n'],
    ['a child that is no config', 'ignition: {config: {merge: [{local: key.pub}]}}\n'],
    ['inline and local', 'storage: {files: [{path: /a, contents: {local: key.pub, inline: x}}]}\n'],
  ])('%s', (_, body) => {
    newest(body);
    newest(body, ['--strict']);
  });
});

describeWithPeers('everything that is made is valid Ignition', ['butane', 'ignition-validate'], () => {
  const readable = specs.filter(({ variant, version }) => variant !== 'openshift' && !version.includes('-'));

  it.each(readable)('$variant $version', async ({ variant, version }) => {
    const { output } = ours(config(variant, version, 'systemd: {units: [{name: a.service, enabled: false}]}\n'), []);
    const file = join(folder, `${variant}-${version}.ign`);
    await writeFile(file, output);
    const { code, stdout } = await validate(file);
    expect([code, stdout]).toEqual([0, '']);
    expect(butane.validate(await readFile(file), file)).toEqual([]);
  });

  it.each([
    '{"ignition": {"version": "3.4.0"}, "unknown": 1}',
    '{"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "a"}]}}',
    '{"ignition": {"version": "2.0.0"}}',
    '{"ignition": {"version": "3.99.0"}}',
    '{"ignition": {"version": "3.4.0"}, "storage": {"files": [{"path": "/a"}, {"path": "/a"}]}}',
    '{',
    '',
  ])('the validator agrees about %s', async (text) => {
    const file = join(folder, 'given.ign');
    await writeFile(file, text);
    const { code } = await validate(file);
    const findings = butane.validate(new TextEncoder().encode(text), file);
    expect(findings.some(({ severity }) => severity === 'error')).toBe(code !== 0);
  });

  function validate(file: string): Promise<{ code: number; stdout: string }> {
    return new Promise((done) => {
      execFile('ignition-validate', [file], (error, stdout) => done({ code: error ? 1 : 0, stdout }));
    });
  }
});
