import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checksumsText } from '../../src/release/checksums.ts';
import { type Fault, GitHubServer } from '../support/github-server.ts';
import { assetsOf, Files, release, sha256 } from '../support/release.ts';

const TAG = 'v1.0.0';
const CONTENTS = { 'a.iso': 'one', 'b.iso': 'two', 'c.qcow2': 'three', 'd.vdi': 'four', 'e.json': 'five' };
const NAMES = Object.keys(CONTENTS);
const sums = checksumsText(Object.entries(CONTENTS).map(([name, text]) => ({ name, sha256: sha256(text) })));
const WHOLE = Object.fromEntries(
  Object.entries({ ...CONTENTS, SHA256SUMS: sums }).map(([name, text]) => [name, `uploaded sha256:${sha256(text)}`]),
);

const anyFault = fc.constantFrom<Fault>(
  ...([
    'cut',
    'lost',
    '502 after',
    '502 before',
    'damage',
    '403 permission',
    '403 secondary',
    '403 primary',
    '429',
  ] as const),
);
const anyTrouble = fc.record({
  /** For the first requests, one each; most of them go well. */
  faults: fc.array(fc.option(anyFault, { freq: 4, nil: undefined }), { maxLength: 80 }),
  /** Each run but the last is killed after so many requests. */
  kills: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 3 }),
  lag: fc.integer({ min: 0, max: 2 }),
  immutable: fc.boolean(),
});

/** Ends with the same state as a process that was killed: nothing more is sent. */
async function killedAfter(
  server: GitHubServer,
  requests: number | undefined,
  work: (signal: AbortSignal) => Promise<unknown>,
): Promise<Error | undefined> {
  const controller = new AbortController();
  const end = server.requests.length + (requests ?? Number.POSITIVE_INFINITY);
  const before = server.fault;
  server.fault = (step) => {
    if (server.requests.length > end) controller.abort(new Error('killed'));
    return before(step);
  };
  try {
    await work(controller.signal);
    return undefined;
  } catch (error) {
    return error as Error;
  } finally {
    server.fault = before;
  }
}

/** One release with exactly the right assets, or none that is published. */
function expectWholeOrNothing(server: GitHubServer, error: Error | undefined): void {
  const published = server.releases.filter(({ draft }) => !draft);
  if (published.length > 0) expect(assetsOf(server, TAG)).toEqual(WHOLE);
  else expect(error).toBeInstanceOf(Error);
  expect(server.violations).toEqual([]);
}

async function survives(
  trouble: { faults: (Fault | undefined)[]; kills: number[]; lag: number; immutable: boolean },
  run: (server: GitHubServer, files: Files, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  await using server = await GitHubServer.start();
  await using files = await Files.create(CONTENTS);
  server.lag = trouble.lag;
  server.store.immutable = trouble.immutable;
  const faults = [...trouble.faults];
  server.fault = () => faults.shift();
  for (const kill of trouble.kills) {
    expectWholeOrNothing(server, await killedAfter(server, kill, (signal) => run(server, files, signal)));
  }
  faults.length = 0;
  const error = await killedAfter(server, undefined, (signal) => run(server, files, signal));
  expectWholeOrNothing(server, error);
  // Without faults the last run fails only where orphaned drafts make the tag ambiguous.
  if (error) expect(error.message).toMatch(/releases share the tag/);
}

describe('whatever goes wrong, the release is whole or not there', () => {
  const options = { numRuns: 20, endOnFailure: false };

  it('in one job', async () => {
    await fc.assert(
      fc.asyncProperty(anyTrouble, (trouble) =>
        survives(trouble, (server, files, signal) => release(server, { tag: TAG, files: files.paths }, { signal })),
      ),
      options,
    );
  });

  it('with three uploaders in parallel, whose files overlap', async () => {
    await fc.assert(
      fc.asyncProperty(anyTrouble, (trouble) =>
        survives(trouble, async (server, files, signal) => {
          const { releaseId } = await release(server, { phase: 'prepare', tag: TAG }, { signal });
          const uploaders = [files.paths.slice(0, 3), files.paths.slice(2, 4), files.paths.slice(3)].map((paths) =>
            release(server, { phase: 'upload', releaseId, files: paths }, { signal }),
          );
          const failed = (await Promise.allSettled(uploaders)).find(({ status }) => status === 'rejected');
          if (failed?.status === 'rejected') throw failed.reason;
          await release(server, { phase: 'publish', releaseId, expectedAssets: NAMES }, { signal });
        }),
      ),
      options,
    );
  });
});
