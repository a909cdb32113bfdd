import { createHash, type Hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Key, SignaturePacket } from 'openpgp';
import { messageOf } from '../io/errors.ts';
import fedoraKeys from './keys/fedora.json' with { type: 'json' };

type OpenPgp = typeof import('openpgp');

/** Public keys; several copies of one key are merged, so that a revocation in any of them counts. */
export interface Keyring {
  readonly keys: readonly Key[];
}

/** The Fedora releases whose keys ship with the project. */
export const FEDORA_RELEASES: readonly string[] = Object.keys(fedoraKeys);

/**
 * Fedora's keys and those of the files, armored (any number of blocks) or binary.
 *
 * @throws Error naming the file that can't be read or holds no key
 */
export async function loadKeyring(files: readonly string[]): Promise<Keyring> {
  const pgp = await import('openpgp');
  const merged = new Map<string, Key>();
  const add = async (keys: readonly Key[]) => {
    for (const key of keys) {
      const known = merged.get(key.getFingerprint());
      merged.set(key.getFingerprint(), known ? await known.update(key) : key);
    }
  };
  for (const armored of Object.values(fedoraKeys)) await add(await pgp.readKeys({ armoredKeys: armored }));
  for (const file of files) await add(await readKeyFile(pgp, file));
  return { keys: [...merged.values()] };
}

const ARMORED_KEY = /-----BEGIN PGP PUBLIC KEY BLOCK-----[\s\S]*?-----END PGP PUBLIC KEY BLOCK-----/g;

async function readKeyFile(pgp: OpenPgp, file: string): Promise<Key[]> {
  try {
    const bytes = await readFile(file);
    const blocks = bytes.toString('latin1').match(ARMORED_KEY);
    if (!blocks) return await pgp.readKeys({ binaryKeys: bytes });
    return (await Promise.all(blocks.map((armoredKeys) => pgp.readKeys({ armoredKeys })))).flat();
  } catch (error) {
    throw new Error(`"keyring": ${file} can't be read as OpenPGP public keys: ${messageOf(error)}`, { cause: error });
  }
}

/** The key that made a good signature. */
export interface Signer {
  /** Of the primary key, in upper-case hex. */
  readonly fingerprint: string;
  readonly userId: string;
}

/** One signature whose key is known and good, and the hash that the data have to go through. */
interface Candidate {
  readonly packet: SignaturePacket;
  readonly key: Key;
  readonly algorithm: string;
}

/** Hash algorithms by their number (RFC 9580, 9.5); MD5, SHA-1 and RIPEMD-160 can be forged and aren't taken. */
const HASH_NAMES = new Map<number, string>([
  [8, 'sha256'],
  [9, 'sha384'],
  [10, 'sha512'],
  [11, 'sha224'],
  [12, 'sha3-256'],
  [14, 'sha3-512'],
]);

/**
 * A detached OpenPGP signature (RFC 9580), binary or armored, over data that are too large for memory: the data are
 * hashed by whoever reads them, and only the hash is verified here.
 */
export class DetachedSignature {
  readonly #name: string;
  readonly #candidates: readonly Candidate[];

  private constructor(name: string, candidates: readonly Candidate[]) {
    this.#name = name;
    this.#candidates = candidates;
  }

  /**
   * Reads a signature and checks everything that doesn't need the data, so that a missing key is told before a
   * gigabyte is downloaded.
   *
   * @param name what messages call it
   * @param fedora the Fedora release that probably signed, for the message about a missing key
   * @throws Error if no signature in it is by a known key that isn't revoked, still valid, and of a supported kind
   */
  static async read(bytes: Buffer, keyring: Keyring, name: string, fedora: string): Promise<DetachedSignature> {
    const packets = await readPackets(bytes, name);
    const candidates: Candidate[] = [];
    const reasons: string[] = [];
    for (const packet of packets) {
      try {
        candidates.push(await candidate(packet, keyring, fedora));
      } catch (error) {
        reasons.push(messageOf(error));
      }
    }
    if (candidates.length === 0) throw new Error(`the signature ${name} is refused: ${reasons.join('; ')}`);
    return new DetachedSignature(name, candidates);
  }

  /** The hashes that the data have to go through; none where the SHA-256 that is made anyway does. */
  startHashes(): (Hash | undefined)[] {
    return this.#candidates.map(({ packet, algorithm }) => {
      const salt = saltOf(packet);
      if (algorithm === 'sha256' && salt.length === 0) return undefined;
      return createHash(algorithm).update(salt);
    });
  }

  /**
   * @param hashes from `startHashes`, after the data
   * @param sha256 the SHA-256 of the data, not yet finished; stays usable
   * @throws Error if no signature holds
   */
  async verify(hashes: readonly (Hash | undefined)[], sha256: Hash): Promise<Signer> {
    const reasons: string[] = [];
    for (const [index, { packet, key }] of this.#candidates.entries()) {
      try {
        await verifyHash(packet, key, hashes[index] ?? sha256);
        const { user } = await key.getPrimaryUser(NO_DATE);
        return { fingerprint: key.getFingerprint().toUpperCase(), userId: user.userID?.userID ?? '' };
      } catch (error) {
        reasons.push(`${messageOf(error)} (key ${keyId(packet)})`);
      }
    }
    throw new Error(`the signature ${this.#name} does not match the data: ${reasons.join('; ')}`);
  }
}

/** Switches off what OpenPGP.js compares with the clock: a key that has expired since still verifies, as with gpg. */
const NO_DATE = null as unknown as undefined;

async function readPackets(bytes: Buffer, name: string): Promise<SignaturePacket[]> {
  const pgp = await import('openpgp');
  try {
    const text = bytes.toString('latin1');
    const signature = text.includes('-----BEGIN PGP SIGNATURE-----')
      ? await pgp.readSignature({ armoredSignature: text.slice(text.indexOf('-----BEGIN PGP SIGNATURE-----')) })
      : await pgp.readSignature({ binarySignature: bytes });
    if (signature.packets.length > 0) return [...signature.packets];
  } catch (error) {
    throw new Error(`${name} is not an OpenPGP signature, or is truncated: ${messageOf(error)}`, { cause: error });
  }
  throw new Error(`${name} holds no OpenPGP signature`);
}

/** @throws Error with the reason why the signature can't count, whatever the data are */
async function candidate(packet: SignaturePacket, keyring: Keyring, fedora: string): Promise<Candidate> {
  const pgp = await import('openpgp');
  const key = keyring.keys.find((known) => known.getKeys(packet.issuerKeyID).length > 0);
  if (!key) throw new Error(unknownKey(packet, fedora));
  if (packet.signatureType !== pgp.enums.signature.binary) {
    throw new Error(`it is not a signature over a binary document (type ${packet.signatureType})`);
  }
  if (packet.isExpired()) {
    const isFuture = packet.created !== null && packet.created > new Date();
    const expired = isFuture ? `is made in the future (${isoTime(packet.created)})` : `expired at ${expiry(packet)}`;
    throw new Error(`it ${expired}`);
  }
  const signingKey = await key.getSigningKey(packet.issuerKeyID, NO_DATE).catch((error: unknown) => {
    const revoked = /revoked/i.test(messageOf(error));
    const reason = revoked ? 'is revoked' : `can't be used: ${messageOf(error)}`;
    throw new Error(`the key ${keyId(packet)} that made it ${reason}`, { cause: error });
  });
  if (packet.created && packet.created < signingKey.keyPacket.created) {
    throw new Error(`it is older than the key ${keyId(packet)} that made it`);
  }
  const algorithm = HASH_NAMES.get(Number(packet.hashAlgorithm));
  if (!algorithm) throw new Error(`its hash algorithm ${packet.hashAlgorithm} is unknown or no longer secure`);
  return { packet, key, algorithm };
}

function unknownKey(packet: SignaturePacket, fedora: string): string {
  const shipped = `the keys of Fedora ${FEDORA_RELEASES.join(', ')} are built in`;
  return `it is by the unknown key ${keyId(packet)}, probably that of Fedora ${fedora}, and not in the keyring (${shipped}). Get the key from https://fedoraproject.org/fedora.gpg, compare its fingerprint with https://fedoraproject.org/security, and name the file in "keyring"`;
}

/** The hash of a document's signature goes over the data, then the signature's own hashed part and a trailer (RFC 9580, 5.2.4). */
async function verifyHash(packet: SignaturePacket, key: Key, data: Hash): Promise<void> {
  const signed = packet.signatureData ?? new Uint8Array();
  const trailer = Buffer.from([packet.version, 0xff, 0, 0, 0, 0]);
  trailer.writeUInt32BE(signed.length, 2);
  const hashed = new Uint8Array(data.copy().update(signed).update(trailer).digest());
  const pgp = await import('openpgp');
  const [signingKey] = key.getKeys(packet.issuerKeyID);
  if (!signingKey) throw new Error('the key is gone');
  // OpenPGP.js verifies a hash that is there already (its own way with streams) and then doesn't look at the data.
  Object.assign(packet, { hashed });
  await packet.verify(signingKey.keyPacket, pgp.enums.signature.binary, {}, new Date(), true);
}

function saltOf(packet: SignaturePacket): Uint8Array {
  // Version 6 signatures only; not in the type.
  const { salt } = packet as SignaturePacket & { salt?: Uint8Array | null };
  return salt ?? new Uint8Array();
}

function keyId(packet: SignaturePacket): string {
  return packet.issuerKeyID.toHex().toUpperCase();
}

function expiry(packet: SignaturePacket): string {
  const time = packet.getExpirationTime();
  return time instanceof Date ? isoTime(time) : 'no time';
}

function isoTime(time: Date | null): string {
  return time ? time.toISOString() : 'an unknown time';
}
