import { quote } from '../io/errors.ts';

/** A failed operation on a virtual tree, with the code of the system error that a real file system would give. */
export class TreeError extends Error {
  override name = 'TreeError';
  readonly code: string;
  readonly path: string;

  constructor(code: string, path: string, reason: string) {
    super(`${quote(path)} ${reason}`);
    this.code = code;
    this.path = path;
  }
}

/** Code of what is refused although a real file system would do it. Hardly any real operation that Butane does gives it. */
export const REFUSED = 'EPERM';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "isn't there",
  ENOTDIR: "isn't a folder, or leads through a file",
  EISDIR: 'is a folder',
  ELOOP: 'leads through too many links',
  EINVAL: "isn't a path of this kind",
  EACCES: "can't be read: permission denied",
};

/** A `TreeError` for one of the usual codes. */
export function treeError(code: string, path: string): TreeError {
  return new TreeError(code, path, reasons[code] ?? `fails with ${code}`);
}
