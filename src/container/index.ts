/** OCI images of sources: trees, the layer, the image, registries and layouts on disk. */
export { deniedAdvice, privateAdvice } from './advice.ts';
export { findCredentials } from './credentials.ts';
export { extractSources } from './extract.ts';
export { readFolderTree } from './folder-tree.ts';
export { originUrl, placeInCheckout } from './git.ts';
export { readGitTree } from './git-tree.ts';
export { buildImage, type Image } from './image.ts';
export { writeLayer } from './layer.ts';
export { writeArchive, writeLayout } from './layout.ts';
export { detectLicense, githubRepository, parseKeyValues, standardAnnotations } from './metadata.ts';
export { type ImageSource, layoutSource, registrySource, unpackArchive } from './pull.ts';
export { pushImage, verifyPushed } from './push.ts';
export {
  checkTags,
  formatTarget,
  parseImage,
  parsePrefix,
  parseReference,
  type Target,
} from './reference.ts';
export { DeniedError, Registry, type RegistryOptions } from './registry.ts';
export type { SourceTree } from './tree.ts';
