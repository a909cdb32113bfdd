/** A place in a text file of the user; lines and columns count from 1. */
export interface SourceLocation {
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
}

/** One thing worth telling about the user's input; on a runner it becomes an annotation at its location. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'notice';
  readonly message: string;
  readonly location?: SourceLocation | undefined;
}

/** Wrong usage: what the command line (or the step's `with:`) alone shows to be wrong. Exit code 2. */
export class UsageError extends Error {
  override name = 'UsageError';
}

/** A failure with one or more findings; all of them were collected before giving up. */
export class FindingsError extends Error {
  override name = 'FindingsError';
  readonly findings: readonly Finding[];

  constructor(message: string, findings: readonly Finding[]) {
    super(message);
    this.findings = findings;
  }
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether `error` is a system error with one of these codes, such as `ENOENT`. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** An untrusted value on one line in quotes, shortened to 200 characters, so that it can't forge log lines. */
export function quote(value: unknown): string {
  const text = JSON.stringify(typeof value === 'string' ? value : String(value));
  return text.length <= 200 ? text : `${text.slice(0, 196)}…"`;
}
