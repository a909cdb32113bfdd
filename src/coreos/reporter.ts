import type { Progress } from '../io/progress.ts';

/** Whom a fetch tells what it does. */
export interface Reporter {
  info(message: string): void;
  warning(message: string): void;
  progress(label: string, total?: number): Progress & Disposable;
}
