/** Where a release tells what it does. */
export interface ReleaseLog {
  debug(message: string): void;
  info(message: string): void;
  notice(message: string): void;
  warning(message: string): void;
}
