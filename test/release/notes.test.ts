import { describe, expect, it } from 'vitest';
import { BODY_LIMIT, composeNotes, type NotesContent, ownBody, withMarker } from '../../src/release/notes.ts';

const HEX = 'ab'.repeat(32);
const content = (more: Partial<NotesContent> = {}): NotesContent => ({
  body: 'What is new.',
  generated: '',
  files: [
    { name: 'k4all-worker.iso', size: 1024 ** 3, sha256: HEX },
    { name: 'k4all-control.qcow2', size: 12, sha256: HEX },
  ],
  splits: [],
  coreosReleases: { x86_64: '44.20261101.3.0', aarch64: '44.20261102.3.0' },
  checksums: true,
  repositoryUrl: 'https://github.example/k4all/demo',
  tag: 'v1.0.0+a/b',
  ...more,
});

describe('release notes', () => {
  it('list files, the base of each architecture, how to verify and how to write a stick', () => {
    const notes = composeNotes(content({ generated: '## Changes' }));
    expect(notes.startsWith('What is new.\n\n<!-- k4all')).toBe(true);
    expect(notes).toContain('## Changes');
    expect(notes).toContain(`| \`k4all-worker.iso\` | 1 GiB | \`${HEX}\` |`);
    expect(notes.indexOf('| aarch64 | 44.20261102.3.0 |')).toBeLessThan(notes.indexOf('| x86_64 | 44.20261101.3.0 |'));
    expect(notes).toContain('sha256sum --check --ignore-missing SHA256SUMS');
    expect(notes).toContain('dd if=k4all-worker.iso of=/dev/sdX');
    expect(notes).not.toContain('## Join the parts');
  });

  it('say how to join parts', () => {
    const parts = ['big.iso.part01', 'big.iso.part02'];
    const notes = composeNotes(
      content({ splits: [{ name: 'big.iso', parts }], files: [{ name: 'big.iso.part01', size: 1, sha256: HEX }] }),
    );
    expect(notes).toContain('cat big.iso.part01 big.iso.part02 > big.iso');
    expect(notes).toContain('copy /b big.iso.part01+big.iso.part02 big.iso');
    expect(notes).toContain('dd if=big.iso of');
  });

  it('are made anew from what the user wrote', () => {
    const once = composeNotes(content());
    expect(ownBody(once)).toBe('What is new.');
    expect(composeNotes(content({ body: ownBody(once) }))).toBe(once);
    expect(ownBody(withMarker('Mine\n', 'mark'))).toBe('Mine');
    expect(ownBody(withMarker('', 'mark'))).toBe('');
    expect(composeNotes(content({ body: 'x\n## Changes', generated: '## Changes' })).match(/## Changes/g)).toHaveLength(
      1,
    );
  });

  it.each([
    ['a long text', { body: 'word '.repeat(40_000) }],
    ['many lines', { body: 'line\n'.repeat(40_000) }],
    ['an open code fence', { body: `\`\`\`\n${'code\n'.repeat(40_000)}` }],
    ['a long changelog', { generated: '* change\n'.repeat(30_000) }],
    ['both', { body: 'line\n'.repeat(40_000), generated: '* change\n'.repeat(30_000) }],
    ['emoji', { body: '😀'.repeat(70_000) }],
  ])('are cut at the limit with a link: %s', (_title, more) => {
    const notes = composeNotes(content(more));
    expect(notes.length).toBeLessThanOrEqual(BODY_LIMIT);
    expect(notes.length).toBeGreaterThan(BODY_LIMIT * 0.9);
    expect(notes).toContain('https://github.example/k4all/demo/commits/v1.0.0%2Ba/b');
    expect(notes).toContain('| `k4all-worker.iso` |');
    expect((notes.match(/^```/gm) ?? []).length % 2).toBe(0);
    expect(notes).not.toMatch(/[\ud800-\udbff](?![\udc00-\udfff])/);
  });

  it('link to the digests where the table is too long', () => {
    const files = Array.from({ length: 999 }, (_, i) => ({
      name: `k4all-${'x'.repeat(80)}-${i}.iso`,
      size: i,
      sha256: HEX,
    }));
    const notes = composeNotes(content({ files, body: 'line\n'.repeat(40_000) }));
    expect(notes.length).toBeLessThanOrEqual(BODY_LIMIT);
    expect(notes).toMatch(
      /… and \d+ more files: \[SHA256SUMS\]\(https:\S+\/releases\/download\/v1\.0\.0%2Ba\/b\/SHA256SUMS\)/,
    );
    expect(notes).toContain('the notes are cut');
  });
});
