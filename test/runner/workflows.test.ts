import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { describeWithPeers } from '../support/peers.ts';

const SUITE = resolve(import.meta.dirname, '../..');
const WORKFLOWS = join(SUITE, '.github/workflows');

interface Job {
  readonly permissions?: object;
  readonly steps?: readonly { readonly uses?: string }[];
  readonly 'timeout-minutes'?: number;
}

describe.each(readdirSync(WORKFLOWS))('%s', (file) => {
  const text = readFileSync(join(WORKFLOWS, file), 'utf8');
  const workflow = parse(text) as { permissions: object; concurrency: { group: string }; jobs: Record<string, Job> };

  it('grants nothing at the top, and to each job what it names', () => {
    expect(workflow.permissions).toEqual({});
    for (const job of Object.values(workflow.jobs)) expect(job.permissions).toBeDefined();
  });

  it('has a concurrency group per ref, and a timeout for every job', () => {
    expect(workflow.concurrency.group).toContain('github.ref');
    for (const job of Object.values(workflow.jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });

  it('pins foreign actions by commit, with the version beside', () => {
    const uses = [...text.matchAll(/uses: (\S+)(.*)$/gm)].filter(([, action = '']) => !/^(\.\/|k4all\/)/.test(action));
    for (const [, action, comment] of uses) {
      expect(action).toMatch(/^actions\/[\w-]+@[0-9a-f]{40}$/);
      expect(comment).toMatch(/^ # v\d+\.\d+\.\d+$/);
    }
  });

  it('keeps the token out of the checkout', () => {
    const checkouts = text.match(/actions\/checkout@/g) ?? [];
    expect(text.match(/persist-credentials: false/g) ?? []).toHaveLength(checkouts.length);
  });
});

it('lets only the jobs write that release or push', () => {
  const writers = readdirSync(WORKFLOWS).flatMap((file) => {
    const { jobs } = parse(readFileSync(join(WORKFLOWS, file), 'utf8')) as { jobs: Record<string, Job> };
    const writing = Object.entries(jobs).filter(([, { permissions = {} }]) =>
      Object.values(permissions).includes('write'),
    );
    return writing.map(([name, { permissions }]) => [`${file} ${name}`, permissions]);
  });
  expect(Object.fromEntries(writers)).toEqual({
    'build-images.yml draft': { contents: 'write' },
    'build-images.yml upload': { contents: 'write' },
    'build-images.yml publish': { contents: 'write' },
    'release.yml release': { contents: 'write' },
    'release.yml major': { contents: 'write' },
    'source-container.yml container': { contents: 'read', packages: 'write' },
  });
});

it('has no action that does something at the start or the end of a job', () => {
  const actions = readdirSync(join(SUITE, 'actions')).map((name) => join(SUITE, 'actions', name, 'action.yml'));
  for (const file of [join(SUITE, 'action.yml'), ...actions]) {
    const { runs } = parse(readFileSync(file, 'utf8')) as { runs: object };
    expect(Object.keys(runs).sort(), file).toEqual(['main', 'using']);
  }
});

it('calls the suite by its name where other repositories call the workflow', () => {
  for (const file of ['build-images.yml', 'source-container.yml']) {
    const text = readFileSync(join(WORKFLOWS, file), 'utf8');
    expect(text).not.toContain('uses: ./');
    expect(text).toMatch(/uses: k4all\/build-iso\S*@v1$/m);
  }
});

describeWithPeers('workflows, by actionlint', ['actionlint'], () => {
  it('are sound', () => {
    const files = readdirSync(WORKFLOWS).map((file) => join(WORKFLOWS, file));
    expect(() => execFileSync('actionlint', files, { encoding: 'utf8' })).not.toThrow();
  });

  it('are sound in the docs too', () => {
    const page = readFileSync(join(SUITE, 'docs/workflows.md'), 'utf8');
    const blocks = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text);
    expect(blocks).toHaveLength(3);
    for (const input of blocks) {
      expect(() => execFileSync('actionlint', ['-'], { input, encoding: 'utf8' })).not.toThrow();
      expect(parse(input)).toMatchObject({ permissions: {} });
    }
  });
});
