export {
  type FetchedArtifact,
  type FetchOptions,
  fetchArtifact,
  type ImageCache,
  type StreamOrigin,
} from './fetch.ts';
export { defaultStreamUrl, loadStream, type StreamSource } from './load.ts';
export type { Reporter } from './reporter.ts';
export type { Signer } from './signature.ts';
export { type RequestOptions, toUrl } from './source.ts';
export {
  type Artifact,
  type ArtifactQuery,
  listOffers,
  type Offer,
  type Part,
  resolveArtifact,
  type Stream,
} from './stream.ts';
