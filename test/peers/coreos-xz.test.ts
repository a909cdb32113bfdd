import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { command } from '../../src/commands/fetch-coreos.ts';
import { parseInputs } from '../../src/commands/inputs.ts';
import { terminalHost } from '../../src/host/terminal.ts';
import { FcosServer } from '../support/fcos-server.ts';
import { STREAM_PATH, sha256, streamOf } from '../support/images.ts';
import { describeWithPeers, peer } from '../support/peers.ts';

describeWithPeers('images compressed by xz', ['xz'], () => {
  it.each([['-6'], ['-0', '--block-size=65536'], ['-2', '--check=sha256']])(
    'are decompressed on the way: %s %s',
    async (...options) => {
      const plain = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) >> 7));
      const packed = execFileSync(peer('xz').path, ['-c', ...options], { input: plain, maxBuffer: 1 << 24 });
      const folder = await mkdtemp(join(tmpdir(), 'k4all-xz-'));
      await using server = await FcosServer.start();
      const disk = { location: '/disk.raw.xz', sha256: sha256(packed), 'uncompressed-sha256': sha256(plain) };
      server.serve('/disk.raw.xz', packed);
      server.serve(STREAM_PATH, JSON.stringify(streamOf({ 'raw.xz': { disk } })));
      const given = {
        'stream-url': [server.url(STREAM_PATH)],
        format: ['raw.xz'],
        decompress: ['true'],
        'verify-signature': ['false'],
      };
      const stderr = { write: () => true, isTTY: false, columns: 80 };
      const host = terminalHost({ env: {}, cwd: folder, signal: new AbortController().signal, stderr });
      try {
        const { path } = await command.run(parseInputs(command.inputs, given), host);
        expect(path).toBe(join(folder, 'disk.raw'));
        expect(await readFile(String(path))).toEqual(plain);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
  );
});
