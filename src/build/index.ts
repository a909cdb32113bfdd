/** The definition, the plan it expands to, and the pipeline that runs a plan. */
export { type BuildLog, type BuildRequest, type BuildResult, build } from './pipeline.ts';
export { ARCHITECTURES, type Architecture, FORMATS, type Format, SAFE_NAME } from './definition.ts';
