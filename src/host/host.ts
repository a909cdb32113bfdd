import type { Finding } from '../io/errors.ts';
import type { Progress } from '../io/progress.ts';

/** What a command talks to: the Actions runner or a terminal. Messages are for people and go to stderr or the log. */
export interface Host {
  readonly kind: 'runner' | 'terminal';
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder that relative paths in inputs start from: the current folder, or the runner's workspace. */
  readonly cwd: string;
  /** Aborted when the run is interrupted. */
  readonly signal: AbortSignal;
  debug(message: string): void;
  info(message: string): void;
  notice(message: string): void;
  warning(message: string): void;
  /** Tells a finding; with a location it becomes an annotation on a runner. */
  report(finding: Finding): void;
  /** Runs one phase; its log is folded on a runner. */
  group<T>(title: string, work: () => Promise<T>): Promise<T>;
  /** A progress display with rate and time left; end it by leaving its scope (`using`). */
  progress(label: string, total?: number): Progress & Disposable;
  /** Adds Markdown to the job summary; nothing on a terminal. */
  summary(markdown: string): Promise<void>;
  /** From now on the value is masked in the log. */
  secret(value: string): void;
}
