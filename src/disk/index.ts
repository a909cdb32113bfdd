/** Virtual images, and the formats laid over them. */
export { type Extent, fileImage, growImage, type Image, imageOf, patchImage, SECTOR_SIZE } from './image.ts';
export { qcow2Image } from './qcow2-layout.ts';
export { type SurveyedImage, surveyImage } from './survey.ts';
export { vdiImage } from './vdi-layout.ts';
export {
  assertSpace,
  digestImages,
  type ImageOutput,
  requiredSpace,
  type WriteOptions,
  type WrittenFile,
  writeImage,
  writeImages,
} from './write.ts';
