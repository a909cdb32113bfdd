import { createHash, randomBytes } from 'node:crypto';
import { createMessage, generateKey, type PrivateKey, type PublicKey, sign } from 'openpgp';
import type { FcosServer } from './fcos-server.ts';

export interface Signed {
  readonly image: Buffer;
  readonly signature: Buffer;
  readonly sha256: string;
}

export interface TestKey {
  readonly secret: PrivateKey;
  readonly key: PublicKey;
  readonly armored: string;
}

/** A new signing key, made by OpenPGP.js, so that these tests need no other tool. */
export async function makeKey(name: string): Promise<TestKey> {
  const { privateKey, publicKey } = await generateKey({
    type: 'ecc',
    curve: 'ed25519Legacy',
    userIDs: [{ name, email: 'test@example.org' }],
    format: 'object',
  });
  return { secret: privateKey, key: publicKey, armored: publicKey.armor() };
}

export async function signImage(image: Buffer, { secret }: TestKey, date = new Date()): Promise<Buffer> {
  const message = await createMessage({ binary: new Uint8Array(image) });
  const options = { message, signingKeys: secret, detached: true, date, format: 'binary' } as const;
  return Buffer.from((await sign(options)) as Uint8Array);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A random image with its signature. */
export async function signedImage(key: TestKey, size: number): Promise<Signed> {
  const image = randomBytes(size);
  return { image, signature: await signImage(image, key), sha256: sha256(image) };
}

export const IMAGE_PATH = '/builds/fedora-coreos-44.1.2.3-live-iso.x86_64.iso';
export const STREAM_PATH = '/streams/stable.json';

/** Serves an image, its signature and a stream that names both. Returns the stream's JSON. */
export function serveImage(server: FcosServer, { image, signature, sha256 }: Signed, more: object = {}): object {
  server.serve(IMAGE_PATH, image);
  server.serve(`${IMAGE_PATH}.sig`, signature);
  const disk = { location: server.url(IMAGE_PATH), signature: server.url(`${IMAGE_PATH}.sig`), sha256, ...more };
  const stream = streamOf({ iso: { disk } });
  server.serve(STREAM_PATH, JSON.stringify(stream));
  return stream;
}

export function streamOf(formats: object): object {
  return {
    stream: 'stable',
    metadata: {},
    architectures: { x86_64: { artifacts: { metal: { release: '44.1.2.3', formats } } } },
  };
}
