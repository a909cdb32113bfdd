import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadKeyring } from '../../src/coreos/signature.ts';

const folder = join(import.meta.dirname, '../../src/coreos/keys');

it('the bundled keys are those of the files beside them', () => {
  const bundled: Record<string, string> = JSON.parse(readFileSync(join(folder, 'fedora.json'), 'utf8'));
  const files = readdirSync(folder).filter((name) => name.endsWith('.asc'));
  expect(files.length).toBe(Object.keys(bundled).length);
  for (const name of files) {
    const release = /\d+/.exec(name)?.[0] ?? '';
    expect(bundled[release]).toBe(readFileSync(join(folder, name), 'utf8'));
  }
});

it('the bundled keys are the published keys of Fedora 41 to 45', async () => {
  const { keys } = await loadKeyring([]);
  expect(keys.map((key) => [key.getUserIDs()[0], key.getFingerprint().toUpperCase()])).toEqual([
    ['Fedora (41) <fedora-41-primary@fedoraproject.org>', '466CF2D8B60BC3057AA9453ED0622462E99D6AD1'],
    ['Fedora (42) <fedora-42-primary@fedoraproject.org>', 'B0F4950458F69E1150C6C5EDC8AC4916105EF944'],
    ['Fedora (43) <fedora-43-primary@fedoraproject.org>', 'C6E7F081CF80E13146676E88829B606631645531'],
    ['Fedora (44) <fedora-44-primary@fedoraproject.org>', '36F612DCF27F7D1A48A835E4DBFCF71C6D9F90A6'],
    ['Fedora (45) <fedora-45-primary@fedoraproject.org>', '4F50A6114CD5C6976A7F1179655A4B02F577861E'],
  ]);
});

it('a keyring that holds no keys is named', async () => {
  const name = join(import.meta.dirname, 'keys.test.ts');
  await expect(loadKeyring([name])).rejects.toThrow(/"keyring": .*keys\.test\.ts can't be read/);
  await expect(loadKeyring(['/nowhere'])).rejects.toThrow(/"keyring": \/nowhere can't be read/);
});
