export { isEmptyConfig } from './empty-config.ts';
export { configFindings, type FindingOptions, type SecretsPolicy } from './findings.ts';
export { findSecrets, type Secret } from './secrets.ts';
export { checkSpecVersion } from './spec-version.ts';
