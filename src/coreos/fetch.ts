import { createReadStream } from 'node:fs';
import { copyFile, mkdir, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AtomicFile } from '../io/atomic-file.ts';
import { hasCode, quote } from '../io/errors.ts';
import { MiB } from '../io/sizes.ts';
import { type Compression, compressionOf } from './decompress.ts';
import { download } from './download.ts';
import { ImageHashes, ImageWriter } from './image-writer.ts';
import type { Reporter } from './reporter.ts';
import { DetachedSignature, type Keyring, loadKeyring, type Signer } from './signature.ts';
import { type RequestOptions, readSmall, resolveReference, shown } from './source.ts';
import type { Artifact, Part } from './stream.ts';

/** A place that keeps images by digest from run to run. Its failures are its own affair: it warns and carries on. */
export interface ImageCache {
  /** Brings the image to `path`, a file in a folder of its own; false if it isn't kept. */
  restore(sha256: string, path: string): Promise<boolean>;
  save(sha256: string, path: string): Promise<void>;
  /** Where the file with this digest and name is restored to and saved from. */
  pathFor(sha256: string, fileName: string): string;
}

/** Where the stream that names an artifact was found, and the URL that the user gave for it. */
export interface StreamOrigin {
  readonly base: URL;
  readonly owner: URL;
}

export interface FetchOptions extends RequestOptions {
  readonly outputDir: string;
  /** Decompress `.xz` and `.gz` on the way. */
  readonly decompress: boolean;
  readonly verifySignature: boolean;
  /** Key files besides Fedora's own. */
  readonly keyring: readonly string[];
  readonly cache?: ImageCache | undefined;
  readonly reporter: Reporter;
  readonly freeBytes?: (folder: string) => Promise<number>;
}

export interface FetchedArtifact {
  readonly part: Part;
  readonly path: string;
  readonly release: string;
  /** Of the file at `path`, in lower-case hex. */
  readonly sha256: string;
  readonly size: number;
  /** Without credentials. */
  readonly url: string;
  /** Undefined if no signature was verified. */
  readonly signedBy: Signer | undefined;
  /** Whether no byte of the image came from the network. */
  readonly cacheHit: boolean;
}

/** A file that proved to be what the stream says. */
interface Proof {
  readonly sha256: string;
  readonly size: number;
  readonly signedBy: Signer | undefined;
}

/**
 * Brings one file of a stream into a folder. It gets its name only when its digest and its signature hold; a file that is
 * there already with the right digest is kept.
 *
 * @throws Error if it can't be had or isn't proven; nothing new is then under its name
 */
export async function fetchArtifact(
  artifact: Artifact,
  origin: StreamOrigin,
  options: FetchOptions,
): Promise<FetchedArtifact> {
  const keyring = options.verifySignature ? await loadKeyring(options.keyring) : undefined;
  return new Fetch(artifact, origin, options).run(keyring);
}

class Fetch {
  readonly #artifact: Artifact;
  readonly #origin: StreamOrigin;
  readonly #options: FetchOptions;
  readonly #url: URL;
  readonly #fileName: string;
  readonly #compression: Compression | undefined;
  readonly #path: string;
  #signature: DetachedSignature | undefined;

  constructor(artifact: Artifact, origin: StreamOrigin, options: FetchOptions) {
    this.#artifact = artifact;
    this.#origin = origin;
    this.#options = options;
    this.#url = resolveReference(artifact.location, origin.base, origin.owner);
    this.#fileName = fileNameOf(this.#url);
    this.#compression = options.decompress ? compressionOf(this.#fileName) : undefined;
    this.#path = join(options.outputDir, this.#compression?.fileName ?? this.#fileName);
  }

  async run(keyring: Keyring | undefined): Promise<FetchedArtifact> {
    if (keyring) this.#signature = await this.#readSignature(keyring);
    const there = await this.#reuse();
    if (there) return this.#result(there, true);
    const restored = await this.#restore();
    if (restored) return this.#result(restored, true);
    const proof = await this.#download();
    await this.#save();
    return this.#result(proof, this.#url.protocol === 'file:');
  }

  #result(proof: Proof, cacheHit: boolean): FetchedArtifact {
    const { part, release } = this.#artifact;
    return { part, path: this.#path, release, url: shown(this.#url), cacheHit, ...proof };
  }

  async #readSignature(keyring: Keyring): Promise<DetachedSignature> {
    const { signature, release } = this.#artifact;
    if (signature === undefined) {
      throw new Error(
        `the stream names no signature for ${this.#fileName}: nothing proves where it comes from. Set "verify-signature" to false only if its SHA-256 is enough`,
      );
    }
    const url = resolveReference(signature, this.#origin.base, this.#origin.owner);
    const { bytes } = await readSmall(url, this.#options);
    return DetachedSignature.read(bytes, keyring, shown(url), release.split('.')[0] ?? release);
  }

  /** A file that is there already and is the right one. */
  async #reuse(): Promise<Proof | undefined> {
    const expected = this.#compression ? this.#artifact.uncompressedSha256 : this.#artifact.sha256;
    if (expected === undefined) return undefined;
    // A signature is over the compressed bytes, which aren't there.
    const proof = await this.#proveFile(this.#path, expected, this.#compression ? undefined : this.#signature);
    if (proof === 'absent') return undefined;
    const { reporter } = this.#options;
    if (proof === 'other') {
      reporter.info(`${this.#path} is there with another SHA-256 and will be replaced`);
      return undefined;
    }
    reporter.info(`${this.#path} is there already and has the right SHA-256`);
    if (this.#compression && this.#signature) {
      reporter.warning(
        `${this.#path} was decompressed earlier: its SHA-256 is right, its signature can't be verified again`,
      );
    }
    return proof;
  }

  async #restore(): Promise<Proof | undefined> {
    const { cache, reporter } = this.#options;
    // What is cached is the file as it was signed.
    if (!cache || this.#compression) return undefined;
    const { sha256 } = this.#artifact;
    const path = cache.pathFor(sha256, this.#fileName);
    if (!(await cache.restore(sha256, path))) return undefined;
    const proof = await this.#proveFile(path, sha256, this.#signature);
    if (typeof proof === 'string') {
      reporter.warning(`the cache has ${this.#fileName} with another SHA-256; it is downloaded instead`);
      return undefined;
    }
    await moveFile(path, this.#path);
    reporter.info(`${this.#fileName} comes from the cache`);
    return proof;
  }

  async #save(): Promise<void> {
    const { cache } = this.#options;
    if (!cache || this.#compression || this.#url.protocol === 'file:') return;
    await cache.save(this.#artifact.sha256, this.#path);
  }

  /** Hashes a file for its digest and its signature at once. */
  async #proveFile(
    path: string,
    expected: string,
    signature: DetachedSignature | undefined,
  ): Promise<Proof | 'absent' | 'other'> {
    const found = await stat(path).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw error;
    });
    if (!found) return 'absent';
    if (!found.isFile()) throw new Error(`${path} is there already and is not a regular file`);
    using progress = this.#options.reporter.progress(`checking ${basename(path)}`, found.size);
    const hashes = new ImageHashes(signature);
    let size = 0;
    for await (const chunk of createReadStream(path, { highWaterMark: MiB, signal: this.#options.signal })) {
      hashes.update(chunk as Buffer);
      size += (chunk as Buffer).length;
      progress.advance((chunk as Buffer).length);
    }
    if (hashes.digest() !== expected) return 'other';
    return { sha256: expected, size, signedBy: await signature?.verify(hashes.forSignature, hashes.sha256) };
  }

  async #download(): Promise<Proof> {
    const { outputDir, reporter, freeBytes } = this.#options;
    await mkdir(outputDir, { recursive: true });
    await using file = await AtomicFile.create(this.#path, { force: true });
    await using writer = new ImageWriter(file.handle, {
      path: this.#path,
      signature: this.#signature,
      decompress: this.#compression?.open,
      freeBytes,
    });
    reporter.info(`fetching ${shown(this.#url)}`);
    await this.#transfer(writer);
    const proof = await this.#prove(writer);
    await file.commit();
    return proof;
  }

  async #transfer(writer: ImageWriter): Promise<void> {
    const { reporter } = this.#options;
    using progress = reporter.progress(this.#fileName);
    const onRetry = (message: string) => reporter.info(message);
    await download(this.#url, writer, progress, { onRetry, ...this.#options });
    await writer.finish();
  }

  async #prove(writer: ImageWriter): Promise<Proof> {
    const { sha256: expected, uncompressedSha256 } = this.#artifact;
    checkDigest(shown(this.#url), 'SHA-256', writer.hashes.digest(), expected);
    const signedBy = await this.#signature?.verify(writer.hashes.forSignature, writer.hashes.sha256);
    const sha256 = writer.written?.digest() ?? expected;
    if (this.#compression && uncompressedSha256 !== undefined) {
      checkDigest(`${shown(this.#url)} decompressed`, 'uncompressed SHA-256', sha256, uncompressedSha256);
    }
    return { sha256, size: writer.size, signedBy };
  }
}

function checkDigest(what: string, kind: string, actual: string, expected: string): void {
  if (actual === expected) return;
  throw new Error(
    `${what} has the ${kind} ${actual}, but the stream says ${expected}: it is damaged or not what was published; nothing was kept`,
  );
}

/** The last part of a URL's path as a file name. */
function fileNameOf(url: URL): string {
  let name = url.pathname.split('/').at(-1) ?? '';
  try {
    name = decodeURIComponent(name);
  } catch {
    // A lone percent sign stands for itself.
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (name === '' || name === '.' || name === '..' || /[/\\\x00-\x1f\x7f]/.test(name)) {
    throw new Error(`${quote(shown(url))} doesn't end in a usable file name`);
  }
  return name;
}

/** A rename, or where that can't be done a copy that appears at once. */
async function moveFile(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  try {
    await rename(from, to);
  } catch (error) {
    if (!hasCode(error, 'EXDEV')) throw error;
    await using file = await AtomicFile.create(to, { force: true });
    await copyFile(from, file.temporaryPath);
    await file.commit();
  }
}
