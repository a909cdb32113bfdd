/** A signal that is aborted when the process is interrupted, so that temporary files are removed on the way out. */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => controller.abort(new Error(`interrupted by ${name}; nothing unfinished was kept`)));
  }
  return controller.signal;
}
