export type { Architecture } from './architecture.ts';
export { normalizeConsole } from './customize/console.ts';
export {
  type Customization,
  type CustomizeResult,
  type CustomizeTarget,
  customize,
  type FileMistake,
  findFileMistakes,
} from './customize/customize.ts';
export { checkIgnition, type NamedFile } from './customize/file-kinds.ts';
export { WRAPPER_SPECS, type WrapperSpec } from './customize/ignition-wrapper.ts';
export {
  type AreaUsage,
  areaMeter,
  CONFIG_PATH,
  type Embedding,
  embed,
  NETWORK_FOLDER,
  reset,
  verify,
} from './embed.ts';
export { type ExtractedFile, type ExtractOptions, extractMinimalIso, extractPxe } from './extract.ts';
export { patchInPlace } from './in-place.ts';
export { type Inspection, inspectImage } from './inspect.ts';
export { type IsoEntry, type IsoFileSystem, openIsoFileSystem } from './iso9660.ts';
export {
  changeKernelArguments,
  type KernelArgumentChanges,
  type KernelArguments,
  parseReplacement,
  splitKernelArguments,
  unmatchedChanges,
} from './kernel-arguments.ts';
export { appendToInitrd, type LiveInitrd, openLiveInitrd } from './live-initrd.ts';
export { type LiveIso, openLiveIso } from './live-iso.ts';
