import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { bytesBlob } from '../../src/container/blob-source.ts';
import { uploadBlob } from '../../src/container/blobs.ts';
import type { Credentials } from '../../src/container/credentials.ts';
import { buildImage, type Image } from '../../src/container/image.ts';
import { readGitTree, writeLayer } from '../../src/container/index.ts';
import { pushImage, verifyPushed } from '../../src/container/push.ts';
import { DeniedError, Registry, type RegistryOptions } from '../../src/container/registry.ts';
import { digestOf, type FaultyRegistry, faultyRegistry, standIn } from '../support/registry.ts';
import { repository, temporaryFolder } from '../support/repository.ts';

const credentials: Credentials = { username: 'user', password: 'hunter2', from: 'a test' };
const BASIC = `Basic ${Buffer.from('user:hunter2').toString('base64')}`;

function connect({ host }: { host: string }, options: Partial<RegistryOptions> = {}): Promise<Registry> {
  const retry = { firstWait: 1, ...options.retry };
  return Registry.connect({ host, repository: 'owner/name', insecure: true, actions: 'pull,push', ...options, retry });
}

function blobOf(bytes: Buffer) {
  return bytesBlob({ mediaType: 'application/octet-stream', digest: digestOf(bytes), size: bytes.length }, bytes);
}

/** How often each kind of request was made, without the first look at `/v2/`. */
function made(registry: FaultyRegistry, method: string): number {
  return registry.requests.filter((request) => request.method === method).length;
}

const CHUNK = 1000;
const bytes = randomBytes(2500);
const blob = blobOf(bytes);

describe('uploading a blob', () => {
  it('goes in one request where it is small, and is skipped where it is there', async () => {
    await using registry = await faultyRegistry();
    const client = await connect(registry);
    expect(await uploadBlob(client, blob)).toBe('uploaded');
    expect(registry.blobs.get(blob.descriptor.digest)).toEqual(bytes);
    expect([made(registry, 'POST'), made(registry, 'PUT'), made(registry, 'PATCH')]).toEqual([1, 1, 0]);
    expect(await uploadBlob(client, blob)).toBe('present');
    expect(made(registry, 'POST')).toBe(1);
  });

  it('goes in chunks where it is large, and in larger ones where the registry asks for them', async () => {
    await using registry = await faultyRegistry();
    await uploadBlob(await connect(registry), blob, { chunkSize: CHUNK });
    const ranges = registry.requests.map(({ headers }) => headers['content-range']).filter(Boolean);
    expect(ranges).toEqual(['0-999', '1000-1999', '2000-2499']);
    expect(registry.blobs.get(blob.descriptor.digest)).toEqual(bytes);
  });

  it('is mounted from a repository that has it', async () => {
    await using registry = await faultyRegistry();
    registry.others.set('owner/other', new Map([[blob.descriptor.digest, bytes]]));
    const client = await connect(registry);
    expect(await uploadBlob(client, blob, { mountFrom: ['owner/empty', 'owner/other'] })).toBe('mounted');
    expect(registry.requests.some(({ method }) => method === 'PUT' || method === 'PATCH')).toBe(false);
  });

  it('is mounted from a repository that the registry finds, and else the same request begins the upload', async () => {
    for (const discovers of [true, false]) {
      await using registry = await faultyRegistry();
      registry.others.set('owner/other', new Map([[blob.descriptor.digest, bytes]]));
      registry.discovers = discovers;
      expect(await uploadBlob(await connect(registry), blob)).toBe(discovers ? 'mounted' : 'uploaded');
      expect([made(registry, 'POST'), made(registry, 'PUT')]).toEqual([1, discovers ? 0 : 1]);
    }
  });

  it.each([400, 401, 403, 404, 405, 500])('is uploaded where a mount is answered by %i', async (status) => {
    await using registry = await faultyRegistry();
    registry.fault = ({ query }) => (query.has('mount') ? { status } : undefined);
    const client = await connect(registry);
    expect(await uploadBlob(client, blob, { mountFrom: ['owner/other'] })).toBe('uploaded');
    expect(made(registry, 'POST')).toBe(3);
  });

  it('is uploaded where a registry says that it mounted it, and has not', async () => {
    await using registry = await faultyRegistry();
    registry.fault = ({ query }) => (query.has('mount') ? { status: 201 } : undefined);
    expect(await uploadBlob(await connect(registry), blob)).toBe('uploaded');
    expect(registry.blobs.get(blob.descriptor.digest)).toEqual(bytes);
  });

  it('goes on where a broken connection left off', async () => {
    await using registry = await faultyRegistry();
    registry.fault = ({ method }, count) => (method === 'PATCH' && count === 2 ? 'drop' : undefined);
    let sent = 0;
    const advance = (count: number) => {
      sent += count;
    };
    const progress = { total: () => {}, advance };
    await uploadBlob(await connect(registry), blob, { chunkSize: CHUNK, progress });
    const ranges = registry.requests.map(({ headers }) => headers['content-range']).filter(Boolean);
    expect(ranges).toEqual(['0-999', '1000-1999', '1000-1999', '2000-2499']);
    expect(sent).toBe(bytes.length);
  });

  it('begins again where the registry forgot the upload', async () => {
    await using registry = await faultyRegistry();
    registry.fault = ({ method }, count) => (method === 'PATCH' && count === 2 ? { status: 404 } : undefined);
    expect(await uploadBlob(await connect(registry), blob, { chunkSize: CHUNK })).toBe('uploaded');
    expect(made(registry, 'POST')).toBe(2);
    expect(registry.blobs.get(blob.descriptor.digest)).toEqual(bytes);
  });

  it('falls back to one request where the registry is no good at chunks', async () => {
    await using registry = await faultyRegistry();
    registry.fault = ({ method }) => (method === 'PATCH' ? { status: 416 } : undefined);
    expect(await uploadBlob(await connect(registry), blob, { chunkSize: CHUNK })).toBe('uploaded');
  });

  it.each([408, 429, 500, 503])('is tried again after %i, as often as is decent', async (status) => {
    await using registry = await faultyRegistry();
    registry.fault = ({ method }, count) =>
      method === 'PUT' && count < 3 ? { status, headers: { 'retry-after': '0' } } : undefined;
    expect(await uploadBlob(await connect(registry), blob)).toBe('uploaded');
    await using dead = await faultyRegistry();
    dead.fault = ({ path }) => (path === '/v2/' ? undefined : { status, headers: { 'retry-after': '0' } });
    await expect(uploadBlob(await connect(dead), blob)).rejects.toThrow(String(status));
    expect(made(dead, 'HEAD')).toBe(5);
  });

  it('is an error where the registry stores something else', async () => {
    await using registry = await faultyRegistry();
    const wrong = digestOf(Buffer.from('other'));
    registry.fault = ({ method, query }) =>
      method === 'PUT' && query.has('digest')
        ? { status: 201, headers: { 'docker-content-digest': wrong } }
        : undefined;
    await expect(uploadBlob(await connect(registry), blob)).rejects.toThrow(/not what was sent/);
    registry.fault = ({ method }) => (method === 'PUT' ? { status: 400 } : undefined);
    await expect(uploadBlob(await connect(registry), blob)).rejects.toThrow(/broke 3 uploads/);
    // 4xx are answers, not accidents: one request per upload.
    expect(made(registry, 'PUT')).toBe(1 + 3);
  });
});

describe('a registry that speaks http', () => {
  it('is found where that is allowed, and else told after one try', async () => {
    await using registry = await faultyRegistry();
    expect((await connect(registry)).origin).toBe(`http://${registry.host}`);
    const retries: string[] = [];
    const denied = connect(registry, {
      insecure: false,
      retry: { onRetry: ({ message }) => void retries.push(message) },
    }).then((client) => uploadBlob(client, blob));
    await expect(denied).rejects.toThrow(/does not speak TLS; set "insecure"/);
    expect(retries).toEqual([]);
  });
});

describe('credentials', () => {
  it('are sent once the registry asks, and a token that expires half-way is replaced', async () => {
    await using registry = await faultyRegistry();
    let tokens = 0;
    let good = '';
    await using realm = await standIn(({ headers, query }) => {
      expect(headers.authorization).toBe(BASIC);
      expect(query.getAll('scope')).toContain('repository:owner/name:pull,push');
      good = `token${++tokens}`;
      return { status: 200, body: JSON.stringify({ token: good }) };
    });
    let uses = 0;
    registry.fault = ({ headers }) => {
      if (headers.authorization === `Bearer ${good}` && good && ++uses % 3 !== 0) return undefined;
      const challenge = `Bearer realm="http://${realm.host}/token",service="s",scope="repository:owner/name:pull"`;
      return { status: 401, headers: { 'www-authenticate': challenge } };
    };
    const secrets: string[] = [];
    const client = await connect(registry, { credentials, onSecret: (secret) => secrets.push(secret) });
    expect(await uploadBlob(client, blob, { chunkSize: CHUNK })).toBe('uploaded');
    expect(tokens).toBeGreaterThan(1);
    expect(secrets).toContain('token1');
    expect(registry.requests.every(({ headers }) => headers.authorization !== BASIC)).toBe(true);
  });

  it('stay with the registry when an upload goes to another host', async () => {
    await using registry = await faultyRegistry();
    await using storage = await standIn(({ method, body, query }) => {
      if (method === 'PUT') registry.blobs.set(query.get('digest') ?? '', bytes);
      expect(body.length).toBeLessThanOrEqual(CHUNK);
      return {
        status: method === 'PUT' ? 201 : 202,
        headers: { location: `http://${storage.host}/session?signature=abc` },
      };
    });
    registry.uploadOrigin = `http://${storage.host}`;
    registry.fault = basicAuth;
    await uploadBlob(await connect(registry, { credentials }), blob, { chunkSize: CHUNK });
    expect(storage.requests.map(({ method }) => method)).toEqual(['PATCH', 'PATCH', 'PATCH', 'PUT']);
    expect(storage.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
    expect(storage.requests.at(-1)?.query.get('signature')).toBe('abc');
  });

  it('are not for a 401 from there', async () => {
    await using registry = await faultyRegistry();
    await using thief = await standIn(() => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }));
    registry.uploadOrigin = `http://${thief.host}`;
    registry.fault = basicAuth;
    const upload = uploadBlob(await connect(registry, { credentials }), blob);
    await expect(upload).rejects.toThrow(/gets no credentials/);
    expect(thief.requests).toHaveLength(1);
    expect(thief.requests[0]?.headers.authorization).toBeUndefined();
  });

  it('stay behind when a request is redirected (307) to another host', async () => {
    await using registry = await faultyRegistry();
    await using storage = await standIn(({ query }) => {
      registry.blobs.set(query.get('digest') ?? '', bytes);
      return { status: 201 };
    });
    registry.fault = (request, count) =>
      request.method === 'PUT'
        ? {
            status: 307,
            headers: { location: `http://${storage.host}/elsewhere?digest=${request.query.get('digest')}` },
          }
        : basicAuth(request, count);
    await uploadBlob(await connect(registry, { credentials }), blob);
    expect(storage.requests[0]?.headers.authorization).toBeUndefined();
    expect(storage.requests[0]?.body).toEqual(bytes);
  });

  it('are refused as a denial, from the registry and from the token endpoint', async () => {
    await using registry = await faultyRegistry();
    registry.fault = ({ method }) => (method === 'POST' ? { status: 403, body: 'denied' } : undefined);
    await expect(uploadBlob(await connect(registry), blob)).rejects.toBeInstanceOf(DeniedError);
    await using realm = await standIn(() => ({ status: 403, body: 'denied' }));
    const challenge = { 'www-authenticate': `Bearer realm="http://${realm.host}/t"` };
    registry.fault = () => ({ status: 401, headers: challenge });
    await expect(uploadBlob(await connect(registry, { credentials }), blob)).rejects.toBeInstanceOf(DeniedError);
    registry.fault = () => ({ status: 401 });
    await expect(uploadBlob(await connect(registry, { credentials }), blob)).rejects.toBeInstanceOf(DeniedError);
  });
});

function basicAuth({ headers }: { headers: Readonly<Record<string, string | undefined>> }, _count: number) {
  if (headers.authorization === BASIC) return undefined;
  return { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } };
}

async function smallImage(folder: string): Promise<Image> {
  await repository(`${folder}/repo`, { a: 'a' });
  const tree = await readGitTree(`${folder}/repo`, '');
  const layer = await writeLayer(tree, '/src', `${folder}/layer`);
  return buildImage(layer, { time: tree.time, prefix: '/src', labels: {}, annotations: {} });
}

describe('pushing an image', () => {
  it('moves the tags last, latest after all others, and transfers no blob the second time', async () => {
    await using folder = await temporaryFolder();
    const image = await smallImage(folder.path);
    await using registry = await faultyRegistry();
    const client = await connect(registry);
    await pushImage(client, image, ['latest', 'v1', 'v1.2.3']);
    const puts = () =>
      registry.requests
        .filter(({ method }) => method === 'PUT')
        .map(({ path }) => `${path.split('/').at(-2)}/${path.split('/').at(-1)}`);
    const { digest } = image.manifest.descriptor;
    expect(puts().slice(2)).toEqual([`manifests/${digest}`, 'manifests/v1', 'manifests/v1.2.3', 'manifests/latest']);
    expect(registry.manifests.get('latest')).toEqual(image.manifest.bytes);
    registry.requests.length = 0;
    await pushImage(client, image, ['v1']);
    expect(registry.requests.some(({ path }) => path.includes('uploads'))).toBe(false);
    expect(await verifyPushed(client, image)).toBe('public');
  });

  it('tags nothing where a blob or the manifest fails', async () => {
    await using folder = await temporaryFolder();
    const image = await smallImage(folder.path);
    await using registry = await faultyRegistry();
    registry.fault = ({ path, method }) =>
      path.includes('/manifests/sha256:') && method === 'PUT'
        ? { status: 400, body: '{"errors":[{"code":"MANIFEST_INVALID"}]}' }
        : undefined;
    await expect(pushImage(await connect(registry), image, ['v1'])).rejects.toThrow(/MANIFEST_INVALID/);
    expect(registry.manifests.size).toBe(0);
  });

  it('tells a private image from a public one, and a wrong one from both', async () => {
    await using folder = await temporaryFolder();
    const image = await smallImage(folder.path);
    await using registry = await faultyRegistry();
    const client = await connect(registry, { actions: 'pull' });
    expect(await verifyPushed(client, image)).toBe('private');
    registry.fault = () => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } });
    expect(await verifyPushed(client, image)).toBe('private');
    registry.fault = () => ({ status: 503, headers: { 'retry-after': '0' } });
    expect(await verifyPushed(client, image)).toBeInstanceOf(Error);
    registry.fault = () => ({ status: 200, body: '{}' });
    await expect(verifyPushed(client, image)).rejects.toThrow(/another manifest/);
  });
});
