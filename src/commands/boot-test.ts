import { basename, dirname, resolve } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { type BootTestResult, bootTest } from '../boot/index.ts';
import type { Host } from '../host/host.ts';
import { messageOf, quote, UsageError } from '../io/errors.ts';
import { defineCommand, FailureWithOutputs } from './command.ts';

export const command = defineCommand({
  name: 'boot-test',
  summary: 'Boot an image in QEMU and judge what its serial console says',
  description:
    'Starts a virtual machine on an ISO, QCOW2, VDI or raw image and watches its serial console until `expect` or a failure ' +
    'is seen. The image is never written to. Leaves the console as a log and the screen as a PNG; on a runner both are ' +
    'attached to the run as an artifact. Needs QEMU for x86_64, and OVMF for UEFI.',
  inputs: {
    image: { type: 'path', required: true, description: 'The image to boot; its format is read from its content.' },
    attach: {
      type: 'choice',
      choices: ['disk', 'cdrom'],
      default: 'disk',
      description: 'What the machine sees it as.',
    },
    firmware: {
      type: 'choice',
      choices: ['bios', 'uefi'],
      default: 'bios',
      description: 'What the machine starts with.',
    },
    expect: {
      type: 'string',
      description:
        'Regular expression (JavaScript, `^` and `$` match at lines) over the serial console: seen, the boot has passed.',
      defaultText: 'a login prompt, or the multi-user or graphical target',
    },
    'fail-on': {
      type: 'lines',
      description:
        'Regular expressions, one per line: seen, the boot has failed. Kernel panics, emergency shells, Ignition failures ' +
        'and a missing boot device always count.',
    },
    timeout: { type: 'integer', default: 300, minimum: 1, description: 'Seconds until the boot has failed.' },
    memory: { type: 'integer', default: 2048, minimum: 16, description: 'Memory of the machine in MiB.' },
    accelerator: {
      type: 'choice',
      choices: ['auto', 'kvm', 'tcg'],
      default: 'auto',
      description: 'Hardware acceleration, emulation, or the former where it works.',
    },
    'output-dir': {
      type: 'path',
      default: '.',
      description: 'Takes `<stem>.serial.log` and `<stem>.png`; those of an earlier run are replaced.',
    },
  },
  outputs: {
    verdict: { type: 'string', description: '`passed` or `failed`.' },
    seconds: { type: 'number', description: 'Seconds from the start to the verdict.' },
    'serial-log': { type: 'string', description: 'Path of the console log, without carriage returns.' },
    screenshot: { type: 'string', description: 'Path of the PNG; empty where the machine ended too early for one.' },
  },
  branding: { icon: 'play', color: 'green' },
  async run(inputs, host) {
    const expect = inputs.expect === undefined ? undefined : pattern('expect', inputs.expect);
    const failOn = inputs['fail-on'].map((source) => pattern('fail-on', source));
    const { attach, firmware, timeout, memory, accelerator } = inputs;
    const result = await bootTest({
      ...{ attach, firmware, timeout, memory, accelerator, failOn },
      ...(expect && { expect }),
      image: resolve(host.cwd, inputs.image),
      outputDir: resolve(host.cwd, inputs['output-dir']),
      openKvm: host.kind === 'runner',
      env: host.env,
      signal: host.signal,
      notify: (severity, message) => host[severity](message),
    });
    await attachToRun(host, result, `${basename(inputs.image)}-${attach}-${firmware}`);
    await host.summary(summaryOf(inputs.image, `${attach}, ${firmware}`, result));
    const outputs = {
      verdict: result.verdict,
      seconds: result.seconds,
      'serial-log': result.serialLog,
      screenshot: result.screenshot ?? '',
    };
    if (result.verdict === 'passed') {
      host.info(`passed after ${result.seconds} s (${result.accelerator}): ${result.reason}`);
      return outputs;
    }
    host.info(['The last lines of the serial console:', ...result.tail.map(plain)].join('\n  '));
    throw new FailureWithOutputs(`${inputs.image} did not boot: ${result.reason}`, outputs);
  },
});

function pattern(input: string, source: string): RegExp {
  try {
    return new RegExp(source, 'm');
  } catch (error) {
    throw new UsageError(`"${input}" is ${quote(source)}, which is not a regular expression: ${messageOf(error)}`);
  }
}

/** A line of the console without anything that a terminal would act on. */
function plain(line: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  return stripVTControlCharacters(line).replaceAll(/[\x00-\x08\x0b-\x1f\x7f]/g, '');
}

/** Uploads log and screenshot. Without the artifact service (act without its server) that isn't a failed boot. */
async function attachToRun(host: Host, { serialLog, screenshot }: BootTestResult, image: string): Promise<void> {
  if (host.kind !== 'runner') return;
  // Characters that an artifact's name may not have.
  const name = `boot-test-${image}`.replaceAll(/[^\w.+-]/g, '_');
  try {
    const { DefaultArtifactClient } = await import('@actions/artifact');
    const files = screenshot === undefined ? [serialLog] : [serialLog, screenshot];
    await new DefaultArtifactClient().uploadArtifact(name, files, dirname(serialLog));
    host.info(`attached as artifact ${name}`);
  } catch (error) {
    host.warning(`serial log and screenshot could not be attached as artifact ${name}: ${messageOf(error)}`);
  }
}

function summaryOf(image: string, machine: string, result: BootTestResult): string {
  const mark = result.verdict === 'passed' ? '✅' : '❌';
  const cells = [
    `${mark} ${result.verdict}`,
    code(basename(image)),
    machine,
    `${result.seconds} s`,
    code(result.reason),
  ];
  return [
    '### Boot test\n',
    '| verdict | image | machine | time | reason |\n| --- | --- | --- | --- | --- |',
    `| ${cells.join(' | ')} |\n`,
  ].join('\n');
}

/** Untrusted text in a table cell: nothing in it is Markdown. */
function code(text: string): string {
  return `\`${plain(text).replaceAll(/[`|\n]/g, ' ')}\``;
}
