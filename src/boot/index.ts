export { type BootTestOptions, type BootTestResult, bootTest, DEFAULT_EXPECT } from './boot-test.ts';
export type { Accelerator, Attachment, ExtraDisk } from './qemu-arguments.ts';
