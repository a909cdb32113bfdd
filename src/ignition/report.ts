import type { Finding, SourceLocation } from '../io/errors.ts';

/** A call's answer as `wasm/butane/main.go` writes it. Lines and columns count from 1; 0 is unknown. */
export interface Answer {
  readonly entries: readonly {
    readonly kind: string;
    readonly message: string;
    /** Place in the config, such as `$.storage.files.0.mode`. */
    readonly path: string;
    readonly line: number;
    readonly column: number;
  }[];
  /** Why there is no result; empty if there is one. */
  readonly error: string;
  /** A bug is the reason. */
  readonly panic: boolean;
}

/**
 * Findings from an answer, in the order of their places in the file: Butane's own order varies from run to run.
 *
 * @param refusal why the file system refused a path, where it did
 */
export function findingsOf(
  answer: Answer,
  file: string,
  refusal: (path: string) => string | undefined,
): readonly Finding[] {
  const findings = answer.entries.map(({ kind, message, path, line, column }): Finding => {
    const text = explain(message, refusal);
    return {
      severity: severityOf(kind),
      message: path === '' ? text : `${text} (${path})`,
      location: { file, ...(line > 0 && { line }), ...(column > 0 && { column }) },
    };
  });
  const hasErrors = findings.some(({ severity }) => severity === 'error');
  const all = answer.error === '' || hasErrors ? findings : [...findings, ...errorFindings(answer.error, file)];
  return all.sort(byPlace);
}

function byPlace(a: Finding, b: Finding): number {
  const lines = (a.location?.line ?? 0) - (b.location?.line ?? 0);
  const columns = (a.location?.column ?? 0) - (b.location?.column ?? 0);
  return lines || columns || (a.message < b.message ? -1 : Number(a.message > b.message));
}

function severityOf(kind: string): Finding['severity'] {
  if (kind === 'error') return 'error';
  return kind === 'info' ? 'notice' : 'warning';
}

/** Go's message for a refused path, `open a/b: operation not permitted`, with the reason in place of the number's text. */
function explain(message: string, refusal: (path: string) => string | undefined): string {
  const [, operation, path] = /^(\w+) (.*): operation not permitted$/is.exec(message) ?? [];
  const reason = path === undefined ? undefined : refusal(path);
  return reason === undefined ? message : `${operation}: ${reason}`;
}

/** Errors that come without an entry: those of the YAML parser, which names lines in its text, and the general ones. */
function errorFindings(error: string, file: string): Finding[] {
  const finding = (message: string, location: SourceLocation): Finding => ({ severity: 'error', message, location });
  const withLines = [...error.matchAll(/line (\d+): ([^\n]+)/g)];
  if (withLines.length === 0) return [finding(error, { file })];
  return withLines.map(([, line, message = '']) => finding(message, { file, line: Number(line) }));
}
