import { basename, extname, join, resolve } from 'node:path';
import { UsageError } from '../io/errors.ts';
import { FileReader } from '../io/reader.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'extract-iso',
  summary: 'Extract the PXE files or the minimal ISO from a CoreOS live ISO',
  description: 'The counterpart of `coreos-installer iso extract pxe` and `iso extract minimal-iso`.',
  inputs: {
    iso: { type: 'path', required: true, description: 'A CoreOS live ISO.' },
    parts: {
      type: 'choices',
      choices: ['pxe', 'minimal-iso'],
      default: ['pxe'],
      description: 'What to extract: kernel, initramfs and root file system, or an ISO without the root file system.',
    },
    'output-dir': { type: 'path', default: '.', description: 'Where the files are written.' },
    'rootfs-url': {
      type: 'string',
      description:
        'Where the minimal ISO fetches its root file system from; without it a kernel argument has to tell at boot.',
    },
    force: { type: 'boolean', default: false, description: 'Replace existing files.' },
  },
  outputs: {
    files: { type: 'json', description: 'The files written: a list of `path`, `size` and `sha256`.' },
  },
  branding: { icon: 'package', color: 'blue' },
  async run(inputs, host) {
    const url = inputs['rootfs-url'];
    if (url !== undefined && !inputs.parts.includes('minimal-iso')) {
      throw new UsageError('"rootfs-url" belongs to the minimal ISO: add "minimal-iso" to "parts", or leave it out');
    }
    const { extractMinimalIso, extractPxe, openLiveIso } = await import('../iso/index.ts');
    await using reader = await FileReader.open(resolve(host.cwd, inputs.iso), inputs.iso);
    const iso = await openLiveIso(reader);
    const { force } = inputs;
    const outputDir = inputs['output-dir'];
    using progress = host.progress('extracting');
    const options = {
      outputDir: resolve(host.cwd, outputDir),
      stem: basename(inputs.iso, extname(inputs.iso)),
      force,
      progress,
      signal: host.signal,
    };
    const files = [];
    if (inputs.parts.includes('pxe')) files.push(...(await extractPxe(iso, options)));
    if (inputs.parts.includes('minimal-iso')) files.push(await extractMinimalIso(iso, { ...options, rootfsUrl: url }));
    return { files: files.map((file) => ({ ...file, path: join(outputDir, basename(file.path)) })) };
  },
});
