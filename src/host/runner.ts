import { debug, error, group, info, notice, setSecret, summary, warning } from '@actions/core';
import type { Finding } from '../io/errors.ts';
import { relativePath } from '../io/paths.ts';
import type { Host } from './host.ts';
import { ProgressMeter } from './progress-meter.ts';

const annotation = { error, warning, notice };
const PROGRESS_INTERVAL = 10_000;

/** The GitHub Actions runner: workflow commands for groups, annotations and masks, files for outputs and summary. */
export function runnerHost(options: { env: Host['env']; signal: AbortSignal }): Host {
  const { env, signal } = options;
  const workspace = env.GITHUB_WORKSPACE ?? process.cwd();
  const annotate = ({ severity, message, location }: Finding) => {
    const properties = location && {
      file: relativePath(workspace, location.file),
      ...(location.line !== undefined && { startLine: location.line }),
      ...(location.column !== undefined && { startColumn: location.column }),
    };
    annotation[severity](message, properties);
  };
  return {
    kind: 'runner',
    env,
    cwd: workspace,
    signal,
    debug: (message) => debug(message),
    info: (message) => info(inert(message)),
    notice: (message) => notice(message),
    warning: (message) => warning(message),
    report: annotate,
    group: (title, work) => group(inert(title), work),
    progress(label, total) {
      const meter = new ProgressMeter(label, total, Date.now());
      let shown = Date.now();
      return {
        total: (bytes) => meter.total(bytes),
        advance(bytes) {
          meter.advance(bytes);
          const now = Date.now();
          if (now - shown < PROGRESS_INTERVAL) return;
          shown = now;
          info(inert(meter.line(now)));
        },
        [Symbol.dispose]: () => void (meter.idle || info(inert(meter.line(Date.now())))),
      };
    },
    async summary(markdown) {
      if (env.GITHUB_STEP_SUMMARY) await summary.addRaw(markdown, true).write();
    },
    secret: (value) => setSecret(value),
  };
}

/** Log text in which no line can be taken for a workflow command (`::name::` at a line's start, `##[name]` anywhere). */
export function inert(text: string): string {
  return text.replaceAll(/^(\s*):(?=:)/gm, '$1\\:').replaceAll('##[', '#\\[');
}
