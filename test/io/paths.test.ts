import { posix, win32 } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pathInside, portableGlob, relativePath } from '../../src/io/paths.ts';

describe('relativePath', () => {
  it.for([
    ['/srv/repo', '/srv/repo/a/b.bu', 'a/b.bu'],
    ['/srv/repo', 'a/b.bu', 'a/b.bu'],
    ['/srv/repo', '/srv/other/b.bu', '../other/b.bu'],
    // A name with a backslash is one name here, and other case is another folder, though not on most Macs.
    ['/srv/repo', '/srv/repo/a\\b.bu', 'a\\b.bu'],
    ['/Users/me/Repo', '/Users/me/repo/b.bu', '../repo/b.bu'],
  ] as const)('POSIX: %s, %s', ([folder, path, expected]) => {
    expect(relativePath(folder, path, posix)).toBe(expected);
  });

  it.for([
    ['D:\\a\\repo\\repo', 'D:\\a\\repo\\repo\\sub\\k8s.bu', 'sub/k8s.bu'],
    ['D:\\a\\repo\\repo', 'D:/a/repo/repo/sub/k8s.bu', 'sub/k8s.bu'],
    ['D:\\a\\repo\\repo', 'sub\\k8s.bu', 'sub/k8s.bu'],
    ['D:\\a\\repo\\repo', 'd:\\A\\Repo\\repo\\k8s.bu', 'k8s.bu'],
    ['D:\\a\\repo\\repo', 'D:\\a\\_temp\\k8s.bu', '../../_temp/k8s.bu'],
    ['D:\\a\\repo\\repo', 'C:\\Users\\me\\k8s.bu', 'C:/Users/me/k8s.bu'],
    ['\\\\server\\share\\repo', '\\\\server\\share\\repo\\k8s.bu', 'k8s.bu'],
  ] as const)('Windows: %s, %s', ([folder, path, expected]) => {
    expect(relativePath(folder, path, win32)).toBe(expected);
  });
});

describe('pathInside', () => {
  it.for([
    [posix, '/srv/repo', '/srv/repo', ''],
    [posix, '/srv/repo', '..data/x', '..data/x'],
    [posix, '/srv/repo', '/srv/repository/x', undefined],
    [posix, '/srv/repo', '..', undefined],
    [posix, '/srv/repo', 'a/../../x', undefined],
    [win32, 'D:\\repo', 'd:\\REPO', ''],
    [win32, 'D:\\repo', '..data\\x', '..data/x'],
    [win32, 'D:\\repo', 'a\\..\\..\\x', undefined],
    [win32, 'D:\\repo', '\\repo\\x', 'x'],
    [win32, 'D:\\repo', '\\other\\x', undefined],
    [win32, 'D:\\repo', 'C:\\repo\\x', undefined],
    [win32, 'D:\\repo', 'C:x', undefined],
    [win32, 'D:\\repo', '\\\\server\\share\\x', undefined],
  ] as const)('%#: %s', ([paths, folder, path, expected]) => {
    expect(pathInside(folder, path, paths)).toBe(expected);
  });
});

describe('portableGlob', () => {
  it('takes backslashes for separators on Windows only', () => {
    expect(portableGlob('out\\**\\*.iso', 'win32')).toBe('out/**/*.iso');
    for (const platform of ['linux', 'darwin'] as const) {
      expect(portableGlob('out/\\[1\\].iso', platform)).toBe('out/\\[1\\].iso');
    }
  });
});
