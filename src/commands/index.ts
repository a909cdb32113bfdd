import type { Command } from './command.ts';

/** Every command by name, in the order of a build. A command is loaded only when it is asked for. */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  'build-iso': async () => (await import('./build-iso.ts')).command,
  'fetch-coreos': async () => (await import('./fetch-coreos.ts')).command,
  'generate-ignition': async () => (await import('./generate-ignition.ts')).command,
  'embed-ignition': async () => (await import('./embed-ignition.ts')).command,
  'inspect-iso': async () => (await import('./inspect-iso.ts')).command,
  'extract-iso': async () => (await import('./extract-iso.ts')).command,
  'convert-image': async () => (await import('./convert-image.ts')).command,
  'boot-test': async () => (await import('./boot-test.ts')).command,
  'classify-version': async () => (await import('./classify-version.ts')).command,
  'create-release': async () => (await import('./create-release.ts')).command,
  'source-container': async () => (await import('./source-container.ts')).command,
};
