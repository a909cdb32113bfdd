/** The definition, the plan it expands to, and the pipeline that runs a plan. */
export type { ImageRecord } from './build-info.ts';
export { ARCHITECTURES, type Architecture, FORMATS, SAFE_NAME } from './definition.ts';
export type { CoreosSource, Overrides } from './load.ts';
export { BUILD_INFO, type BuildLog, type BuildRequest, type BuildResult, build, CHECKSUMS } from './pipeline.ts';
