/** The definition, the plan it expands to, and the pipeline that runs a plan. */
export { ARCHITECTURES, type Architecture, type Definition, FORMATS, SAFE_NAME } from './definition.ts';
export { BUILD_INFO, type BuildLog, type BuildRequest, type BuildResult, build, CHECKSUMS } from './pipeline.ts';
