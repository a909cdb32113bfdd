export type { Butane, Compiled, CompileOptions } from './butane.ts';
export { startButane } from './butane.ts';
export { specVersion } from './spec-version.ts';
export { TreeError } from './tree-error.ts';
export { type ReadFile, VirtualTree } from './virtual-tree.ts';
export type { TreeNode } from './walk.ts';
