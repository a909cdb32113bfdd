/** Virtual images, and the formats laid over them. */
export { assertBootableAsDisk, hasBootRecord, isIso } from './hybrid.ts';
export {
  type Extent,
  fileImage,
  growImage,
  type Image,
  imageOf,
  imageReader,
  patchImage,
  requiredSpace,
  roundUp,
  SECTOR_SIZE,
} from './image.ts';
export { type ImageFormat, openImage } from './open.ts';
export { writeCompressedQcow2 } from './qcow2-compress.ts';
export { qcow2Image } from './qcow2-layout.ts';
export { type SurveyedImage, surveyAndDigest, surveyImage } from './survey.ts';
export { vdiImage } from './vdi-layout.ts';
export {
  assertSpace,
  digestImages,
  type ImageOutput,
  type WriteOptions,
  type WrittenFile,
  writeImage,
  writeImages,
} from './write.ts';
