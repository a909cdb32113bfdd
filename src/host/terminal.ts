import type { Finding } from '../io/errors.ts';
import type { Host } from './host.ts';
import { ProgressMeter } from './progress-meter.ts';

const REDRAW_INTERVAL = 100;
/** Without a terminal a line is written each time so many seconds have passed. */
const LINE_INTERVAL = 5_000;

/** A host that writes everything to stderr: a progress bar on a terminal, plain lines elsewhere. */
export function terminalHost(options: {
  env: Host['env'];
  cwd: string;
  signal: AbortSignal;
  stderr: Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>;
}): Host {
  const { stderr, env, cwd, signal } = options;
  const say = (line: string) => void stderr.write(`${stderr.isTTY ? '\r\x1b[K' : ''}${line}\n`);
  return {
    kind: 'terminal',
    env,
    cwd,
    signal,
    debug: (message) => {
      if (env.K4ALL_DEBUG || env.RUNNER_DEBUG === '1') say(message);
    },
    info: say,
    notice: (message) => say(`note: ${message}`),
    warning: (message) => say(`warning: ${message}`),
    report: (finding) => say(findingLine(finding)),
    async group(title, work) {
      say(title);
      return work();
    },
    progress: (label, total) => displayProgress(new ProgressMeter(label, total, Date.now()), stderr),
    async summary() {},
    secret() {},
  };
}

/** A finding the way compilers print them: `file.bu:7:13: error: message`. */
export function findingLine({ severity, message, location }: Finding): string {
  const kind = severity === 'notice' ? 'note' : severity;
  if (!location) return `${kind}: ${message}`;
  const place = [location.file, location.line, location.column].filter((part) => part !== undefined).join(':');
  return `${place}: ${kind}: ${message}`;
}

function displayProgress(
  meter: ProgressMeter,
  stderr: Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'columns'>,
): ReturnType<Host['progress']> {
  let shown = Date.now();
  const show = (now: number) => {
    shown = now;
    if (!stderr.isTTY) return void stderr.write(`${meter.line(now)}\n`);
    stderr.write(`\r\x1b[K${bar(meter.fraction)}${meter.line(now)}`.slice(0, (stderr.columns ?? 80) + 4));
  };
  return {
    total: (bytes) => meter.total(bytes),
    advance(bytes) {
      meter.advance(bytes);
      const now = Date.now();
      if (now - shown >= (stderr.isTTY ? REDRAW_INTERVAL : LINE_INTERVAL)) show(now);
    },
    [Symbol.dispose]() {
      if (stderr.isTTY) stderr.write('\r\x1b[K');
      else if (!meter.idle) show(Date.now());
    },
  };
}

function bar(fraction: number | undefined): string {
  if (fraction === undefined) return '';
  const filled = Math.round(fraction * 20);
  return `${'█'.repeat(filled)}${'░'.repeat(20 - filled)}  `;
}
