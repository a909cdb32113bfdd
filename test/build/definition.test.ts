import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultDefinition, parseDefinition } from '../../src/build/definition.ts';
import { FindingsError } from '../../src/io/errors.ts';

/** The findings of a definition that is refused, one per line. */
function mistakes(text: string): string {
  try {
    parseDefinition(text, 'k4all.yaml');
  } catch (error) {
    if (!(error instanceof FindingsError)) throw error;
    return error.findings
      .map(({ message, location }) => `${location?.file}:${location?.line}:${location?.column} ${message}`)
      .join('\n');
  }
  throw new Error('the definition was accepted');
}

describe('parseDefinition', () => {
  it('takes an empty file as the k4all layout', () => {
    expect(parseDefinition('', 'k4all.yaml')).toEqual(defaultDefinition);
    expect(parseDefinition('# nothing\n', 'k4all.yaml')).toEqual(defaultDefinition);
  });

  it('knows whether formats were asked for by name', () => {
    expect(defaultDefinition.formats).toBeUndefined();
    expect(parseDefinition('formats: [vdi]', 'k4all.yaml').formats).toEqual(['vdi']);
  });

  it('keeps the default kernel argument unless others are given', () => {
    expect(parseDefinition('live: {ignition: a.ign}', 'x').live['kernel-arguments'].append).toEqual([
      'coreos.liveiso.fromram',
    ]);
    expect(parseDefinition('live: {kernel-arguments: {append: [a=b]}}', 'x').live['kernel-arguments'].append).toEqual([
      'a=b',
    ]);
  });

  it('takes a size as text or as a number of bytes', () => {
    expect(parseDefinition('disk-size: 1073741824', 'x')['disk-size']).toBe('1073741824');
  });

  it.each([
    ['name: a b', '1:1 "name" is "a b", but takes letters'],
    ['roles: []', '1:1 "roles" is [], but takes at least one role'],
    ['roles: [a, a]', '1:1 "roles" is ["a","a"], but takes each role once'],
    ['\n\nrole: [a]', '3:1 the definition has the unknown key "role"; allowed are name, coreos'],
    [
      'live:\n  kernel-arguments: {remove: [a]}',
      '2:22 "live.kernel-arguments" has the unknown key "remove"; allowed are append',
    ],
    ['ignition:\n  - {butane: x}', '2:5 "ignition.0.output" is missing'],
    ['ignition:\n  - 5', '2:5 "ignition.0" is 5, but has to be a mapping'],
    ['architectures: [arm]', '1:17 "architectures.0" is "arm", but takes x86_64, aarch64, ppc64le, s390x'],
    ['disk-size: 5X', '1:1 "disk-size" is "5X", but takes a size such as 60G'],
    ['[1]', '1:1 the definition is [1], but has to be a mapping'],
    ['name: a\nname: b', '2:1 Map keys must be unique'],
    ['a: [', '1:5 Flow sequence'],
  ])('says where %j is wrong', (text, message) => expect(mistakes(text)).toContain(`k4all.yaml:${message}`));

  it('tells all mistakes at once', () => {
    expect(mistakes('name: a b\nroles: []\nfoo: 1\n').split('\n')).toHaveLength(3);
  });

  it('refuses aliases that multiply', () => {
    const levels = Array.from({ length: 9 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(9).fill(`*l${i}`).join(', ')}]`);
    expect(mistakes(`l0: &l0 [a]\n${levels.join('\n')}`)).toMatch(/alias|unknown key/);
  });

  it('refuses an alias of nothing', () => expect(mistakes('name: *x')).toContain('Unresolved alias'));

  it('either accepts or explains whatever it is given', () => {
    const explained = (text: string) => {
      try {
        parseDefinition(text, 'k4all.yaml');
      } catch (error) {
        expect(error).toBeInstanceOf(FindingsError);
        expect((error as FindingsError).findings.length).toBeGreaterThan(0);
      }
    };
    fc.assert(fc.property(fc.string(), explained));
    const keys = fc.constantFrom('name', 'roles', 'ignition', 'live', 'formats', 'disk-size', 'coreos', 'x');
    fc.assert(fc.property(fc.dictionary(keys, fc.jsonValue()), (value) => explained(JSON.stringify(value))));
  });
});
