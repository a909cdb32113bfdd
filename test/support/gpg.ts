import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { peer } from './peers.ts';

/** A home of GnuPG in a temporary folder, with keys made on the spot. */
export class GpgHome implements Disposable {
  /** Short, because the agent's socket lies in it. */
  readonly folder = mkdtempSync(join(tmpdir(), 'gpg-'));

  gpg(...args: string[]): string {
    const common = [
      '--homedir',
      this.folder,
      '--batch',
      '--yes',
      '--quiet',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
    ];
    return execFileSync(peer('gpg').path, [...common, ...args], { encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** @returns the fingerprint */
  makeKey(userId: string, options: { algorithm?: string; expire?: string; at?: string } = {}): string {
    const { algorithm = 'ed25519', expire = 'never', at } = options;
    this.gpg(...time(at), '--quick-generate-key', userId, algorithm, 'sign', expire);
    const listed = this.gpg('--with-colons', '--list-keys', userId);
    return /^fpr:+([0-9A-F]+):/m.exec(listed)?.[1] ?? '';
  }

  sign(file: string, key: string, output: string, ...more: string[]): void {
    this.gpg('--local-user', key, '--output', output, ...more, '--detach-sign', file);
  }

  exportKey(key: string, output: string, ...more: string[]): void {
    this.gpg(...more, '--output', output, '--export', key);
  }

  /** Whether gpgv accepts the signature with these keys, which must not be armored. */
  gpgvAccepts(keyring: string, signature: string, file: string): boolean {
    try {
      const args = ['--homedir', this.folder, '--keyring', keyring, signature, file];
      execFileSync(peer('gpgv').path, args, { stdio: 'pipe' });
      return true;
    } catch {
      return false;
    }
  }

  [Symbol.dispose](): void {
    try {
      execFileSync('gpgconf', ['--homedir', this.folder, '--kill', 'all'], { stdio: 'pipe' });
    } catch {
      // No agent was started.
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A time as `20240101T000000` for what is made in the past. */
export function time(at: string | undefined): string[] {
  return at === undefined ? [] : ['--faked-system-time', `${at}!`];
}
