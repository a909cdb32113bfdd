import { resolve } from 'node:path';
import { FileReader } from '../io/reader.ts';
import { defineCommand } from './command.ts';
import { renderTable } from './outputs.ts';

export const command = defineCommand({
  name: 'inspect-iso',
  summary: 'Show what a CoreOS live ISO or PXE initramfs carries',
  description:
    'The counterpart of `coreos-installer iso ignition show`, `iso kargs show`, `iso network extract` and `pxe ignition unwrap`.',
  inputs: {
    iso: { type: 'path', required: true, description: 'A CoreOS live ISO, or a PXE initramfs.' },
  },
  outputs: {
    ignition: {
      type: 'string',
      description: 'The text of the embedded live config; null (in an action: empty) without one.',
    },
    'kernel-arguments': { type: 'list', description: 'Kernel arguments of the live system.' },
    'default-kernel-arguments': { type: 'list', description: 'Those the ISO was published with.' },
    network: { type: 'json', description: 'The embedded NetworkManager keyfiles: an object of name and contents.' },
    architecture: { type: 'string', description: '`x86_64`, `aarch64`, `ppc64le` or `s390x`.' },
    features: {
      type: 'json',
      description: 'Which customisations the image understands: its `features.json` as it stands.',
    },
    pristine: { type: 'boolean', description: 'Whether nothing is customised.' },
  },
  branding: { icon: 'search', color: 'blue' },
  async run({ iso }, host) {
    const { inspectImage } = await import('../iso/index.ts');
    await using reader = await FileReader.open(resolve(host.cwd, iso), iso);
    const found = await inspectImage(reader);
    return {
      ignition: found.ignition,
      'kernel-arguments': found.kernelArguments,
      'default-kernel-arguments': found.defaultKernelArguments,
      network: found.network,
      architecture: found.architecture,
      features: found.features,
      pristine: found.pristine,
    };
  },
  present(outputs) {
    const keyfiles = outputs.network as Readonly<Record<string, string>>;
    const parts = Object.entries(keyfiles).map(([name, text]) => `\nNetwork keyfile ${name}:\n${text.trimEnd()}`);
    if (outputs.ignition !== null) parts.unshift(`\nIgnition config:\n${outputs.ignition.trimEnd()}`);
    const rows = [
      ['architecture', outputs.architecture ?? ''],
      ['pristine', outputs.pristine ? 'yes' : 'no'],
      ['kernel arguments', outputs['kernel-arguments'].join(' ')],
      ['by default', outputs['default-kernel-arguments'].join(' ')],
      ['features', Object.keys(outputs.features as object).join(', ')],
    ];
    return [renderTable(rows), ...parts].join('\n');
  },
});
