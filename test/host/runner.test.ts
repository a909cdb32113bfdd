import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inert } from '../../src/host/runner.ts';

describe('inert', () => {
  it.each([
    ['::set-output name=a::b', '\\::set-output name=a::b'],
    ['ok\n  ::error::forged', 'ok\n  \\::error::forged'],
    ['##[group]x', '#\\[group]x'],
    ['a::b', 'a::b'],
  ])('makes %j harmless', (text, harmless) => expect(inert(text)).toBe(harmless));

  it('leaves no line that a runner takes for a command', () => {
    const pieces = fc.constantFrom('::', ':', '##[', '#', '[', '\n', '\r', ' ', '\t', 'error', '\u00a0', '\u2028');
    fc.assert(
      fc.property(fc.array(pieces), (parts) => {
        for (const line of inert(parts.join('')).split(/\r\n|\r|\n/)) {
          expect(line.trimStart().startsWith('::')).toBe(false);
          expect(line).not.toContain('##[');
        }
      }),
    );
  });
});
