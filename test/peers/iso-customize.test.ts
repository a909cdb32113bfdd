import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { command as embedIgnition } from '../../src/commands/embed-ignition.ts';
import { command as inspectIso } from '../../src/commands/inspect-iso.ts';
import { makeCertificate, writeInputFiles } from '../iso/customize-inputs.ts';
import { LAYOUTS } from '../iso/layouts.ts';
import { type Given, runCommand } from '../iso/run-command.ts';
import { describeWithPeers } from '../support/peers.ts';
import { makeIso, REAL_ISOS, readAreas, realIso, unpackArea } from './iso-images.ts';

/** Every option with values that can stand in any combination. */
const OPTIONS: Readonly<Record<string, readonly string[]>> = {
  'live-ignition': ['live-1.ign', 'live-2.ign'],
  'dest-ignition': ['dest-1.ign', 'dest-2.ign'],
  'dest-device': ['/dev/sda'],
  'dest-console': ['ttyS0', 'tty0', 'ttyAMA1,115200e7', 'ttyS3,57600'],
  'dest-karg-append': [
    'a=b',
    "it's",
    'x: y',
    'true',
    '12',
    'key=value with blanks',
    '#hash',
    '- dash',
    'ünï',
    '1e3',
    '0x1f',
    '~',
    '@at',
    'a #b',
    'null',
    'yes',
    '"q"',
    '[x]',
    'tab\there',
  ],
  'dest-karg-delete': ['quiet', '*'],
  'network-keyfile': ['eth0.nmconnection', 'eth1.nmconnection'],
  'ignition-ca': ['ca.pem'],
  'pre-install': ['pre-1'],
  'post-install': ['post-1', 'post-2.sh'],
  'installer-config': ['install-1.yaml', 'install-2.yaml'],
  'live-karg-append': ['coreos.liveiso.fromram', 'console=ttyS0', 'a=$&'],
  'live-karg-delete': ['ignition.firstboot', 'none', 'ignition.firstboot ignition.platform.id=metal'],
  'live-karg-replace': ['ignition.platform.id=metal=qemu', 'mitigations=auto,nosmt=off'],
};

const combinations = fc.record(
  Object.fromEntries(
    Object.entries(OPTIONS).map(([name, values]) => [
      name,
      fc.oneof(
        { weight: 2, arbitrary: fc.constant<readonly string[]>([]) },
        {
          weight: 1,
          arbitrary: fc.shuffledSubarray([...values], {
            minLength: 1,
            maxLength: name === 'dest-device' ? 1 : Math.min(3, values.length),
          }),
        },
      ),
    ]),
  ),
);

describeWithPeers(
  'customising as coreos-installer does',
  ['coreos-installer', 'genisoimage', 'isohybrid', 'cpio', 'xz'],
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'k4all-iso-'));
    const at = (name: string) => join(folder, name);

    beforeAll(() => {
      writeInputFiles(folder);
      makeCertificate(folder);
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    const bases = [
      ...LAYOUTS.map((layout) => [layout, () => makeIso(folder, layout)] as const),
      ...REAL_ISOS.map((name) => [name, () => realIso(folder, name)] as const),
    ];

    /** Runs both tools on copies of a base; undefined for the one that refused. */
    async function both(base: string, options: Given) {
      copyFileSync(base, at('theirs.iso'));
      copyFileSync(base, at('ours.iso'));
      const flags = Object.entries(options).flatMap(([name, values]) => values.map((value) => `--${name}=${value}`));
      const { status, stderr } = spawnSync('coreos-installer', ['iso', 'customize', ...flags, 'theirs.iso'], {
        cwd: folder,
        encoding: 'utf8',
      });
      const ours = await runCommand(embedIgnition, { ...options, iso: ['ours.iso'] }, folder).catch(
        (error: Error) => error,
      );
      return { theirs: status === 0 ? undefined : stderr, ours: ours instanceof Error ? ours.message : undefined };
    }

    function compare(options: Given): void {
      const [theirs, ours] = [readAreas(at('theirs.iso')), readAreas(at('ours.iso'))];
      expect(ours.kernelArguments).toEqual(theirs.kernelArguments);
      const [theirArchive, ourArchive] = [unpackArea(folder, theirs.ignition), unpackArea(folder, ours.ignition)];
      expect(ourArchive.listing).toEqual(theirArchive.listing);
      const configs = [theirArchive, ourArchive].map(({ files }) => files.get('config.ign'));
      for (const [path, bytes] of theirArchive.files) {
        if (path !== 'config.ign') expect(ourArchive.files.get(path)).toEqual(bytes);
      }
      if (!configs[0] || !configs[1]) return;
      const theirConfig = normalized(configs[0]);
      const only =
        options['live-ignition']?.length === 1 ? readFileSync(at(options['live-ignition'][0] ?? '')) : undefined;
      if (only?.equals(configs[1])) {
        // On purpose: one live config alone is embedded as it is, where the installer wraps it.
        expect(theirConfig).toEqual({ ignition: { config: { merge: [inline(normalized(only))] }, version: '3.3.0' } });
      } else {
        expect(normalized(configs[1])).toEqual(theirConfig);
        expect(keyOrder(configs[1])).toEqual(keyOrder(configs[0]));
      }
    }

    async function crossCheck(base: string): Promise<void> {
      const original = readFileSync(base);
      const theirs = (await runCommand(inspectIso, { iso: ['theirs.iso'] }, folder)).outputs;
      const shown = spawnSync('coreos-installer', ['iso', 'ignition', 'show', 'theirs.iso'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(theirs.ignition).toBe(shown.status === 0 ? shown.stdout : null);
      const ours = (await runCommand(inspectIso, { iso: ['ours.iso'] }, folder)).outputs;
      const ourShow = spawnSync('coreos-installer', ['iso', 'ignition', 'show', 'ours.iso'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(ours.ignition).toBe(ourShow.status === 0 ? ourShow.stdout : null);
      expect(ours.network).toEqual(theirs.network);
      expect(ours['kernel-arguments']).toEqual(theirs['kernel-arguments']);
      await runCommand(embedIgnition, { iso: ['theirs.iso'], reset: ['true'] }, folder);
      expect(readFileSync(at('theirs.iso')).equals(original)).toBe(true);
      execFileSync('coreos-installer', ['iso', 'reset', 'ours.iso'], { cwd: folder, stdio: 'pipe' });
      expect(readFileSync(at('ours.iso')).equals(original)).toBe(true);
    }

    const varied = bases.filter(([name]) => ['igninfo', 'plain', '2022-02', '2023-07.s390x'].includes(name));
    it.each(varied)('each option alone, on %s', async (_, make) => {
      const base = make();
      for (const [name, values] of Object.entries(OPTIONS)) {
        const given = name === 'dest-device' ? values.slice(0, 1) : values;
        const outcome = await both(base, { [name]: given });
        expect(outcome.ours === undefined, `${name}: ${outcome.ours} / ${outcome.theirs}`).toBe(
          outcome.theirs === undefined,
        );
        if (outcome.theirs !== undefined) continue;
        compare({ [name]: given });
        await crossCheck(base);
      }
    });

    it.each(bases)('random combinations, on %s', async (_, make) => {
      const base = make();
      await fc.assert(
        fc.asyncProperty(combinations, async (options) => {
          fc.pre(Object.values(options).some(({ length }) => length > 0));
          const outcome = await both(base, options);
          expect(outcome.ours === undefined, `${outcome.ours} / ${outcome.theirs}`).toBe(outcome.theirs === undefined);
          if (outcome.theirs !== undefined) return;
          compare(options);
          await crossCheck(base);
        }),
        { numRuns: 4 },
      );
    });
  },
);

/** A config with its compressed parts unpacked, configs among them parsed, and without the nulls the installer writes into them. */
function normalized(bytes: Uint8Array): unknown {
  return simplify(JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown);
}

function simplify(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(simplify);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, part]) => part !== null);
  const result = Object.fromEntries(entries.map(([key, part]) => [key, simplify(part)]));
  if (result.compression !== 'gzip' || typeof result.source !== 'string') return result;
  const data = gunzipSync(Buffer.from(result.source.split(',')[1] ?? '', 'base64'));
  return { inline: data[0] === 0x7b ? normalized(data) : data.toString('utf8') };
}

function inline(value: unknown): unknown {
  return { inline: value };
}

/** The keys in the order of the text, the contents of data URLs aside. */
function keyOrder(bytes: Uint8Array): string[] {
  return [
    ...Buffer.from(bytes)
      .toString('utf8')
      .matchAll(/"([A-Za-z]+)":/g),
  ].map(([, key = '']) => key);
}
