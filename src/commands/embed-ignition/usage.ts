import { messageOf, UsageError } from '../../io/errors.ts';
import { normalizeConsole, parseReplacement } from '../../iso/index.ts';
import type { EmbedInputs } from '../embed-ignition.ts';

const LIVE_ARGUMENTS = ['live-karg-append', 'live-karg-delete', 'live-karg-replace'] as const;
const COMMON = [
  'live-ignition',
  'dest-ignition',
  'dest-karg-append',
  'dest-karg-delete',
  'network-keyfile',
  'ignition-ca',
  'pre-install',
  'post-install',
  'installer-config',
  'dest-console',
] as const;

/** @throws UsageError with every mistake that the inputs alone show */
export function checkUsage(inputs: EmbedInputs): void {
  const mistakes = [...imageMistakes(inputs), ...customizationMistakes(inputs), ...valueMistakes(inputs)];
  if (mistakes.length > 0) throw new UsageError(mistakes.join('\n'));
}

function imageMistakes(inputs: EmbedInputs): string[] {
  if (inputs.iso !== undefined && inputs.initrd !== undefined) {
    return ['"iso" and "initrd" are both given: take one of them'];
  }
  if (inputs.iso === undefined && inputs.initrd === undefined) {
    return ['"iso" is required (or "initrd"): the CoreOS live image to customise'];
  }
  if (inputs.initrd === undefined) return [];
  const given = LIVE_ARGUMENTS.filter((input) => inputs[input].length > 0);
  return [
    ...given.map(
      (input) => `"${input}" can't be used with "initrd": its kernel arguments belong to the boot loader's config`,
    ),
    ...(inputs.output === undefined ? ['"output" is required with "initrd": the customised initramfs'] : []),
    ...(inputs.reset ? ['"reset" can\'t be used with "initrd": take the original initramfs'] : []),
  ];
}

function customizationMistakes(inputs: EmbedInputs): string[] {
  const given: string[] = [...COMMON, ...LIVE_ARGUMENTS].filter((input) => inputs[input].length > 0);
  if (inputs['dest-device'] !== undefined) given.push('dest-device');
  if (inputs.reset && given.length > 0) {
    return [`"reset" puts the ISO back, so ${given.map((input) => `"${input}"`).join(', ')} can't be given with it`];
  }
  if (inputs.reset || given.length > 0) return [];
  return ['there is nothing to embed: give "live-ignition", another customisation, or "reset"'];
}

function valueMistakes(inputs: EmbedInputs): string[] {
  const check = (input: 'live-karg-replace' | 'dest-console', parse: (text: string) => unknown) =>
    inputs[input].flatMap((text) => {
      try {
        parse(text);
        return [];
      } catch (error) {
        return [`"${input}": ${messageOf(error)}`];
      }
    });
  return [...check('live-karg-replace', parseReplacement), ...check('dest-console', normalizeConsole)];
}
