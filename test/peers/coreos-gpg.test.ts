import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ImageHashes } from '../../src/coreos/image-writer.ts';
import { DetachedSignature, loadKeyring, type Signer } from '../../src/coreos/signature.ts';
import { GpgHome, time } from '../support/gpg.ts';
import { describeWithPeers } from '../support/peers.ts';

describeWithPeers('signatures by gpg', ['gpg', 'gpgv'], () => {
  let home: GpgHome;
  let file: string;
  const at = (name: string) => join(home.folder, name);

  beforeAll(() => {
    home = new GpgHome();
    file = at('image');
    writeFileSync(file, randomBytes(100_000));
  });
  afterAll(() => home[Symbol.dispose]());

  async function verify(signature: string, keyring: string, image = file): Promise<Signer> {
    const known = await loadKeyring([keyring]);
    const detached = await DetachedSignature.read(readFileSync(signature), known, 'image.sig', '44');
    const hashes = new ImageHashes(detached);
    const bytes = readFileSync(image);
    for (let at = 0; at < bytes.length; at += 4096) hashes.update(bytes.subarray(at, at + 4096));
    return detached.verify(hashes.forSignature, hashes.sha256);
  }

  it.each([
    ['ed25519', []],
    ['rsa2048', ['--digest-algo', 'SHA256']],
    ['rsa3072', ['--digest-algo', 'SHA512']],
    ['rsa2048', ['--armor', '--digest-algo', 'SHA384']],
    ['nistp256', ['--armor']],
    ['nistp384', ['--digest-algo', 'SHA512']],
  ])('%s %j are accepted, and not over a file with one bit changed', async (algorithm, options) => {
    const name = `${algorithm}${options.join('')}`;
    const key = home.makeKey(`${name} <a@example.org>`, { algorithm });
    home.sign(file, key, at('good.sig'), ...options);
    home.exportKey(key, at('good.gpg'));
    home.exportKey(key, at('good.asc'), '--armor');
    const signer = { fingerprint: key, userId: `${name} <a@example.org>` };
    expect(await verify(at('good.sig'), at('good.gpg'))).toEqual(signer);
    expect(await verify(at('good.sig'), at('good.asc'))).toEqual(signer);
    expect(home.gpgvAccepts(at('good.gpg'), at('good.sig'), file)).toBe(true);

    const changed = readFileSync(file);
    changed.writeUInt8(changed.readUInt8(77_777) ^ 0x10, 77_777);
    writeFileSync(at('changed'), changed);
    await expect(verify(at('good.sig'), at('good.gpg'), at('changed'))).rejects.toThrow(/does not match the data/);
    expect(home.gpgvAccepts(at('good.gpg'), at('good.sig'), at('changed'))).toBe(false);
  });

  it('are accepted when the key has expired since', async () => {
    const key = home.makeKey('Expired <e@example.org>', { at: '20240101T000000', expire: '20240301T000000' });
    home.sign(file, key, at('expired.sig'), ...time('20240201T000000'));
    home.exportKey(key, at('expired.gpg'));
    expect((await verify(at('expired.sig'), at('expired.gpg'))).fingerprint).toBe(key);
    expect(home.gpgvAccepts(at('expired.gpg'), at('expired.sig'), file)).toBe(true);
  });

  it('are refused when they have expired themselves', async () => {
    const key = home.makeKey('Brief <b@example.org>', { at: '20240101T000000' });
    home.sign(file, key, at('brief.sig'), ...time('20240201T000000'), '--default-sig-expire', '7d');
    home.exportKey(key, at('brief.gpg'));
    await expect(verify(at('brief.sig'), at('brief.gpg'))).rejects.toThrow(/refused: it expired at 2024-02-08/);
  });

  it('are refused when the key is revoked, also where only one copy of it says so', async () => {
    const key = home.makeKey('Revoked <r@example.org>');
    home.sign(file, key, at('revoked.sig'));
    home.exportKey(key, at('before.gpg'));
    const certificate = readFileSync(at(`openpgp-revocs.d/${key}.rev`), 'utf8').replace(':-----BEGIN', '-----BEGIN');
    writeFileSync(at('revocation.asc'), certificate);
    expect((await verify(at('revoked.sig'), at('before.gpg'))).fingerprint).toBe(key);
    home.gpg('--import', at('revocation.asc'));
    home.exportKey(key, at('after.gpg'));
    await expect(verify(at('revoked.sig'), at('after.gpg'))).rejects.toThrow(/is revoked/);
    writeFileSync(at('both.gpg'), Buffer.concat([readFileSync(at('after.gpg')), readFileSync(at('before.gpg'))]));
    await expect(verify(at('revoked.sig'), at('both.gpg'))).rejects.toThrow(/is revoked/);
  });

  it('are refused when the key is unknown', async () => {
    const key = home.makeKey('Unknown <u@example.org>');
    home.sign(file, key, at('unknown.sig'));
    const other = home.makeKey('Other <o@example.org>');
    home.exportKey(other, at('other.gpg'));
    await expect(verify(at('unknown.sig'), at('other.gpg'))).rejects.toThrow(
      new RegExp(`unknown key ${key.slice(-16)}`),
    );
    expect(home.gpgvAccepts(at('other.gpg'), at('unknown.sig'), file)).toBe(false);
  });

  it('are accepted by a signing subkey, and the primary key is named', async () => {
    const key = home.makeKey('Primary <p@example.org>');
    home.gpg('--quick-add-key', key, 'rsa2048', 'sign', 'never');
    home.gpg('--output', at('subkey.sig'), '--local-user', key, '--detach-sign', file);
    home.exportKey(key, at('subkey.gpg'));
    expect(home.gpg('--list-packets', at('subkey.sig'))).not.toContain(key.slice(-16));
    expect((await verify(at('subkey.sig'), at('subkey.gpg'))).fingerprint).toBe(key);
  });

  it('are taken from several armored keys in one file', async () => {
    const keys = ['One <1@example.org>', 'Two <2@example.org>'].map((name) => home.makeKey(name));
    for (const [index, key] of keys.entries()) home.exportKey(key, at(`${index}.asc`), '--armor');
    writeFileSync(at('many.asc'), `# keys\n${readFileSync(at('0.asc'))}\n${readFileSync(at('1.asc'))}`);
    for (const key of keys) {
      home.sign(file, key, at('many.sig'));
      expect((await verify(at('many.sig'), at('many.asc'))).fingerprint).toBe(key);
    }
  });
});
