import type { Command } from './command.ts';

/** Every command by name. A command is loaded only when it is asked for. */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  'fetch-coreos': async () => (await import('./fetch-coreos.ts')).command,
};
