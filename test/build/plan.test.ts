import { describe, expect, it } from 'vitest';
import { type Definition, defaultDefinition } from '../../src/build/definition.ts';
import { insideWorkspace, planCompilation, planImages } from '../../src/build/plan.ts';

const define = (changes: Partial<Definition>): Definition => ({ ...defaultDefinition, ...changes });

describe('planCompilation', () => {
  it('compiles the base once and the rest for each role: seven compilations for k4all', () => {
    const plan = planCompilation(defaultDefinition, '.');
    expect(plan.shared).toEqual([{ butane: 'k8s-base.bu', output: 'k8s-base.ign' }]);
    expect(plan.roles.map(({ role }) => role)).toEqual(['bootstrap', 'control', 'worker']);
    expect(plan.roles[1]?.steps).toEqual([
      { butane: 'k8s-control.bu', output: 'k8s.ign' },
      { butane: 'install.bu', output: 'install.ign' },
    ]);
    expect(plan.live).toBe('install.ign');
  });

  it('shares everything where no step names the role', () => {
    const plan = planCompilation(define({ ignition: [{ butane: 'install.bu', output: 'install.ign' }] }), '.');
    expect(plan.shared).toHaveLength(1);
    expect(plan.roles.every(({ steps }) => steps.length === 0)).toBe(true);
  });

  it('resolves against the folder of the definition', () => {
    const plan = planCompilation(defaultDefinition, 'images/live');
    expect(plan.shared[0]?.butane).toBe('images/live/k8s-base.bu');
    expect(plan.live).toBe('images/live/install.ign');
  });

  it('refuses a live config that no step makes', () => {
    const live = { ...defaultDefinition.live, ignition: 'other.ign' };
    expect(() => planCompilation(define({ live }), '.')).toThrow(
      '"live.ignition" is "other.ign", but the outputs are k8s-base.ign, k8s.ign, install.ign',
    );
  });

  it('refuses two steps with one output', () => {
    const ignition = [
      { butane: 'a.bu', output: 'install.ign' },
      { butane: 'b.bu', output: './install.ign' },
    ];
    expect(() => planCompilation(define({ ignition }), '.')).toThrow('"install.ign" is made by two steps');
  });
});

describe('insideWorkspace', () => {
  it.each(['/etc/passwd', '../x.bu', 'a/../../x.bu', '..', 'C:\\x.bu', '..\\x.bu'])('refuses %s', (path) => {
    expect(() => insideWorkspace('.', path)).toThrow('leaves the workspace');
  });

  it.each([
    ['.', 'a/b.bu', 'a/b.bu'],
    ['sub', '../a.bu', 'a.bu'],
    ['sub', 'x\\a.bu', 'sub/x/a.bu'],
  ])('joins %s and %s', (folder, path, joined) => expect(insideWorkspace(folder, path)).toBe(joined));
});

describe('planImages', () => {
  it('names the files of every role, architecture and format', () => {
    const definition = define({ roles: ['control', 'worker'], architectures: ['x86_64', 'aarch64'] });
    const images = planImages(definition, '1.2.3', (architecture) =>
      architecture === 'x86_64' ? ['iso', 'vdi'] : ['iso'],
    );
    expect(images.map(({ fileName }) => fileName)).toEqual([
      'k4all-control-1.2.3-x86_64.iso',
      'k4all-control-1.2.3-x86_64.vdi',
      'k4all-control-1.2.3-aarch64.iso',
      'k4all-worker-1.2.3-x86_64.iso',
      'k4all-worker-1.2.3-x86_64.vdi',
      'k4all-worker-1.2.3-aarch64.iso',
    ]);
  });

  it('refuses a version that is no file name', () => {
    expect(() => planImages(defaultDefinition, '../1', () => ['iso'])).toThrow('the version "../1" holds more than');
  });
});
