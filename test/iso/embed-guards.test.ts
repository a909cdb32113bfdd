/** What the findings about configs lead to; what is found is tested with src/checks. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { writeInputFiles } from './customize-inputs.ts';
import { liveIsoImage, RELEASE } from './layouts.ts';
import { type Given, runCommand } from './run-command.ts';

/** Of the word "secret". */
const HASH = '$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1';

let folder: string;
const at = (name: string) => join(folder, name);
const { image } = liveIsoImage('igninfo');
const embed = (given: Given) => runCommand(embedIgnition, { iso: ['live.iso'], ...given }, folder);

/** The same ISO of another release, whose name has the same length. */
function imageOf(release: string): Buffer {
  return Buffer.from(image.toString('latin1').replaceAll(RELEASE, release), 'latin1');
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'k4all-guards-'));
  writeInputFiles(folder);
  writeFileSync(at('live.iso'), image);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('secrets', () => {
  const given = { 'dest-ignition': ['secret.ign'], 'dest-device': ['/dev/sda'] };

  beforeEach(() => {
    const users = [{ name: 'core', passwordHash: HASH }];
    writeFileSync(at('secret.ign'), JSON.stringify({ ignition: { version: '3.4.0' }, passwd: { users } }));
  });

  it('are warned of, at their file', async () => {
    const { log } = await embed(given);
    expect(log).toContain(`${at('secret.ign')}: warning: password hash at $.passwd.users[0].passwordHash`);
  });

  it('are an error on demand, and then nothing is written', async () => {
    await expect(embed({ ...given, secrets: ['fail'] })).rejects.toThrow(/error: password hash at \$\.passwd/);
    expect(readFileSync(at('live.iso')).equals(image)).toBe(true);
  });

  it('are passed over on demand', async () => {
    expect((await embed({ ...given, secrets: ['ignore'] })).log).not.toContain('password');
  });
});

describe('the spec', () => {
  it('has to be one that the release understands', async () => {
    const older = imageOf('34.20210801.3.0');
    writeFileSync(at('live.iso'), older);
    await expect(embed({ 'live-ignition': ['live-1.ign', 'live-2.ign'] })).rejects.toThrow(
      /live-1\.ign: error: .*spec 3\.4\.0, but Fedora CoreOS 34\.20210801\.3\.0 understands specs up to 3\.3\.0/,
    );
    expect(readFileSync(at('live.iso')).equals(older)).toBe(true);
  });

  it.each([
    [RELEASE, '3.3.0'],
    ['33.20201101.3.0', '3.2.0'],
    ['32.20200601.3.0', '3.1.0'],
  ])('of our own configs on %s is %s', async (release, expected) => {
    writeFileSync(at('live.iso'), imageOf(release));
    await embed({ 'pre-install': ['pre-1'] });
    const { outputs } = await runCommand(inspectIso, { iso: ['live.iso'] }, folder);
    expect(JSON.parse(String(outputs.ignition))).toMatchObject({ ignition: { version: expected } });
  });
});
