/** OCI images of sources: trees, the layer, the image, registries and layouts on disk. */
export { CREDENTIAL_SOURCES, type Credentials, findCredentials } from './credentials.ts';
export { extractSources } from './extract.ts';
export { readFolderTree } from './folder-tree.ts';
export { originUrl, placeInCheckout } from './git.ts';
export { readGitTree } from './git-tree.ts';
export { buildImage, type Image } from './image.ts';
export { type Layer, writeLayer } from './layer.ts';
export { writeArchive, writeLayout } from './layout.ts';
export { detectLicense, githubRepository, parseKeyValues, standardAnnotations } from './metadata.ts';
export { layoutSource, registrySource, unpackArchive } from './pull.ts';
export { pushImage, verifyPushed } from './push.ts';
export {
  checkTags,
  formatTarget,
  parseImage,
  parsePrefix,
  parseReference,
  type Reference,
  type Target,
} from './reference.ts';
export { DeniedError, Registry } from './registry.ts';
export type { SourceTree } from './tree.ts';
