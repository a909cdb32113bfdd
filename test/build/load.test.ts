import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultDefinition } from '../../src/build/definition.ts';
import { loadDefinition } from '../../src/build/load.ts';

const nothing = { roles: [], kernelArguments: [] };
let workspace: string;
beforeEach(async () => {
  workspace = await mkdtemp(join(tmpdir(), 'k4all-load-'));
});
afterEach(() => rm(workspace, { recursive: true }));

describe('loadDefinition', () => {
  it('is the k4all layout where there is no file', async () => {
    const loaded = await loadDefinition(workspace, undefined, nothing);
    expect(loaded).toEqual({ definition: defaultDefinition, folder: '.', file: undefined });
  });

  it('finds k4all.yaml, and inputs go before it', async () => {
    await writeFile(
      join(workspace, 'k4all.yaml'),
      'name: mine\nroles: [a, b]\nlive: {kernel-arguments: {append: [x]}}',
    );
    const { definition } = await loadDefinition(workspace, undefined, {
      ...nothing,
      roles: ['b'],
      diskSize: 1024,
      kernelArguments: ['y=1,2'],
    });
    expect(definition).toMatchObject({ name: 'mine', roles: ['b'], 'disk-size': '1024' });
    expect(definition.live['kernel-arguments'].append).toEqual(['x', 'y=1,2']);
  });

  it('says which folder paths are relative to', async () => {
    await mkdir(join(workspace, 'images/live'), { recursive: true });
    await writeFile(join(workspace, 'images/live/d.yaml'), '');
    const { folder } = await loadDefinition(workspace, join(workspace, 'images/live/d.yaml'), nothing);
    expect(folder).toBe('images/live');
  });

  it('refuses a given file that is missing, or outside', async () => {
    const missing = join(workspace, 'none.yaml');
    await expect(loadDefinition(workspace, missing, nothing)).rejects.toThrow(
      `"definition": there is no file ${missing}`,
    );
    await writeFile(join(workspace, 'd.yaml'), '');
    await mkdir(join(workspace, 'inner'));
    await expect(loadDefinition(join(workspace, 'inner'), join(workspace, 'd.yaml'), nothing)).rejects.toThrow(
      'is outside the workspace',
    );
  });
});
