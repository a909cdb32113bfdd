import { describe, expect, it } from 'vitest';
import { ProgressMeter } from '../../src/host/progress-meter.ts';
import { findingLine, terminalHost } from '../../src/host/terminal.ts';

function hostOn(isTTY: boolean) {
  const written: string[] = [];
  const stderr = {
    isTTY,
    columns: 60,
    write: (text: string) => written.push(text) > 0,
  } as unknown as NodeJS.WriteStream;
  const host = terminalHost({ env: {}, cwd: '/', signal: new AbortController().signal, stderr });
  return { host, text: () => written.join('') };
}

describe('terminalHost', () => {
  it('writes no cursor codes where there is no terminal', () => {
    const { host, text } = hostOn(false);
    {
      using bar = host.progress('base.iso', 100);
      bar.advance(100);
    }
    host.warning('careful');
    expect(text()).toContain('warning: careful\n');
    expect(text()).not.toContain('\r');
    expect(text()).not.toContain('\x1b');
    expect(text()).toContain('base.iso  100%');
  });

  it('has no line for a progress in which nothing was done', () => {
    const { host, text } = hostOn(false);
    {
      using bar = host.progress('upload', 100);
      bar.advance(50);
      bar.advance(-50);
    }
    expect(text()).toBe('');
  });

  it('clears the bar before other lines on a terminal', () => {
    const { host, text } = hostOn(true);
    host.info('done');
    expect(text()).toBe('\r\x1b[Kdone\n');
  });

  it('keeps debug messages to itself', () => {
    const { host, text } = hostOn(false);
    host.debug('detail');
    expect(text()).toBe('');
  });
});

describe('findingLine', () => {
  it.each([
    [{ severity: 'error', message: 'm', location: { file: 'a.bu', line: 7, column: 13 } }, 'a.bu:7:13: error: m'],
    [{ severity: 'warning', message: 'm', location: { file: 'a.bu' } }, 'a.bu: warning: m'],
    [{ severity: 'notice', message: 'm' }, 'note: m'],
  ] as const)('prints %j', (finding, line) => expect(findingLine(finding)).toBe(line));
});

describe('ProgressMeter', () => {
  it('tells rate and time left', () => {
    const meter = new ProgressMeter('base.iso', 4 * 1024 ** 2, 0);
    meter.advance(1024 ** 2);
    expect(meter.line(1000)).toBe('base.iso   25%  1 MiB of 4 MiB  1 MiB/s  3 s left');
  });

  it('takes back what has to be done again', () => {
    const meter = new ProgressMeter('x', 10, 0);
    meter.advance(8);
    meter.advance(-8);
    expect(meter.fraction).toBe(0);
  });
});
