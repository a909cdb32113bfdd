import { defineCommand, type InputValues } from './command.ts';

const list = (description: string) => ({ type: 'list', description }) as const;
const lines = (description: string) => ({ type: 'lines', description }) as const;

const inputs = {
  iso: { type: 'path', description: 'The CoreOS live ISO; it is edited in place unless `output` is given.' },
  initrd: { type: 'path', description: 'In place of `iso`: a CoreOS live PXE initramfs; `output` is needed then.' },
  output: { type: 'path', description: 'Where the customised image is written, with its SHA-256.' },
  'live-ignition': list(
    'Ignition configs of the live system. One alone is embedded as it is, several are merged in order.',
  ),
  'dest-ignition': list('Ignition configs of the installed system; the live system then runs the installer by itself.'),
  'dest-device': {
    type: 'string',
    description: 'The disk to install to, as in `/dev/sda`; it is overwritten without asking.',
  },
  'live-karg-append': lines('Kernel arguments to append for the live system, one per line or option.'),
  'live-karg-delete': lines('Kernel arguments to delete for the live system, one per line or option.'),
  'live-karg-replace': lines(
    'Kernel arguments to replace for the live system, as `key=old=new`, one per line or option.',
  ),
  'dest-karg-append': lines('Kernel arguments to append for the installed system, one per line or option.'),
  'dest-karg-delete': lines('Kernel arguments to delete for the installed system, one per line or option.'),
  'network-keyfile': list('NetworkManager keyfiles for the live system and, if the installer runs, the installed one.'),
  'ignition-ca': list('Certificate authorities (PEM) that Ignition trusts.'),
  'pre-install': list('Scripts to run before the installation.'),
  'post-install': list('Scripts to run after the installation.'),
  'installer-config': list('Config files (YAML) for `coreos-installer install`, in order.'),
  'dest-console': lines('Consoles of the installed system, as in `ttyS0,115200n8`, one per line or option.'),
  secrets: {
    type: 'choice',
    choices: ['warn', 'fail', 'ignore'],
    default: 'warn',
    description:
      'What happens when a config holds a password hash, private key or token: whoever has the image can read it.',
  },
  reset: { type: 'boolean', default: false, description: 'Put the ISO back as it was published.' },
  force: {
    type: 'boolean',
    default: false,
    description:
      'Replace an existing customisation (everything starts from the pristine ISO then) and an existing `output`.',
  },
} as const;

export type EmbedInputs = InputValues<typeof inputs>;

export const command = defineCommand({
  name: 'embed-ignition',
  summary: 'Customise a CoreOS live ISO or PXE initramfs with Ignition configs and kernel arguments',
  description:
    'The counterpart of `coreos-installer iso customize`, `pxe customize`, `iso ignition embed`, `iso kargs modify` and `iso reset`.',
  inputs,
  outputs: {
    iso: { type: 'string', description: 'Path of the customised image.' },
    sha256: { type: 'string', description: 'SHA-256 of `output`; empty when the ISO was edited in place.' },
    'embed-area-size': { type: 'number', description: 'Bytes that the Ignition area has; 0 for an initramfs.' },
    'embed-area-used': { type: 'number', description: 'Bytes that the archive takes in it.' },
  },
  permissions: { 'contents: read': 'to check out the configs' },
  branding: { icon: 'disc', color: 'blue' },
  async run(values, host) {
    const { embedIgnition } = await import('./embed-ignition/run.ts');
    return embedIgnition(values, host);
  },
});
