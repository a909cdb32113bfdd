/** What the findings about configs lead to; what is found is tested with src/checks. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { writeInputFiles } from './customize-inputs.ts';
import { liveIsoImage, RELEASE } from './layouts.ts';
import { type Given, runCommand } from './run-command.ts';

const understood = vi.hoisted(() => ({ newest: '3.4.0', releases: [] as string[] }));

vi.mock('../../src/checks/index.ts', () => ({
  findSecrets: (config: { passwd?: unknown }) =>
    config.passwd ? [{ kind: 'a password hash', path: 'passwd.users.0.passwordHash' }] : [],
  checkSpecVersion: (config: { ignition: { version: string } }, release: string) => {
    understood.releases.push(release);
    return config.ignition.version > understood.newest ? `spec ${config.ignition.version} is too new` : undefined;
  },
  isEmptyConfig: () => false,
}));

let folder: string;
const at = (name: string) => join(folder, name);
const { image } = liveIsoImage('igninfo');
const embed = (given: Given) => runCommand(embedIgnition, { iso: ['live.iso'], ...given }, folder);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'k4all-guards-'));
  writeInputFiles(folder);
  writeFileSync(at('live.iso'), image);
  understood.newest = '3.4.0';
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('secrets', () => {
  const given = { 'dest-ignition': ['dest-1.ign'], 'dest-device': ['/dev/sda'] };

  it('are warned of, at their file', async () => {
    const { log } = await embed(given);
    expect(log).toContain(`${at('dest-1.ign')}: warning: a password hash at passwd.users.0.passwordHash`);
  });

  it('are an error on demand, and then nothing is written', async () => {
    await expect(embed({ ...given, secrets: ['fail'] })).rejects.toThrow(/error: a password hash at passwd/);
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
  });

  it('are passed over on demand', async () => {
    expect((await embed({ ...given, secrets: ['ignore'] })).log).not.toContain('password');
  });
});

describe('the spec', () => {
  it('has to be one that the release understands', async () => {
    understood.newest = '3.3.0';
    const given = { 'live-ignition': ['live-1.ign', 'live-2.ign'] };
    await expect(embed(given)).rejects.toThrow(`${at('live-1.ign')}: error: spec 3.4.0 is too new`);
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
    expect(understood.releases).toContain(RELEASE);
  });

  it.each([
    ['3.4.0', '3.3.0'],
    ['3.2.0', '3.2.0'],
    ['3.1.0', '3.1.0'],
    ['3.0.0', '3.3.0'],
  ])('of our own configs is %s → %s', async (newest, expected) => {
    understood.newest = newest;
    await embed({ 'pre-install': ['pre-1'] });
    const { outputs } = await runCommand(inspectIso, { iso: ['live.iso'] }, folder);
    expect(JSON.parse(String(outputs.ignition))).toMatchObject({ ignition: { version: expected } });
  });
});
