import { setImmediate } from 'node:timers/promises';
import { type Advance, inSteps } from '../io/progress.ts';
import { FileReader, type OpenFile, openFileReader, type Reader } from '../io/reader.ts';
import { runInThread, type ThreadOptions, together } from '../io/threads.ts';
import { type ClusterSums, sumWindows, type WindowQueue } from './cluster-sums.ts';
import { copyPart, type Digest, type Part } from './copy-part.ts';
import type { Extent, Image } from './image.ts';

/** Work that any thread can do: everything in it can be cloned. Without `counts` it tells no progress. */
export type Task =
  | { readonly kind: 'copy'; readonly part: Part<OpenFile>; readonly counts: boolean }
  | { readonly kind: 'survey'; readonly image: Image<OpenFile>; readonly windows: WindowQueue };

interface Results {
  readonly copy: readonly Digest[];
  readonly survey: readonly ClusterSums[];
}

/** Does a task in the thread that calls it. */
export function perform(task: Task, advance: Advance): Promise<Results[Task['kind']]> {
  const open = opener();
  if (task.kind === 'survey') return sumWindows(open(task.image), task.windows, advance);
  return copyPart(
    task.part.map((output) => ({ ...output, image: open(output.image) })),
    task.counts ? advance : () => {},
  );
}

/** Does the first task in this thread, and each other in one of its own. */
export async function performAll<Kind extends Task['kind']>(
  tasks: readonly (Task & { readonly kind: Kind })[],
  options: Pick<ThreadOptions, 'signal' | 'advance'>,
): Promise<Results[Kind][]> {
  const [own, ...others] = tasks;
  if (!own) return [];
  const { advance = () => {} } = options;
  const results = await together(options.signal, (signal) => [
    ...others.map((input) => runInThread({ work: 'disk', input }, { signal, advance })),
    withPauses({ signal, advance }, (advanceHere) => perform(own, advanceHere)),
  ]);
  return results as Results[Kind][];
}

/** Works in this thread, but lets others have their turn from time to time: signals, progress. */
export async function withPauses<T>(
  { signal, advance }: ThreadOptions,
  work: (advance: Advance) => Promise<T>,
): Promise<T> {
  const steps = inSteps(async (bytes) => {
    advance?.(bytes);
    await setImmediate();
    signal?.throwIfAborted();
  });
  const result = await work(steps.advance);
  await steps.finish();
  return result;
}

/** The image for another thread; undefined if anything of it lies in no file. */
export function forThread(image: Image): Image<OpenFile> | undefined {
  const extents: Extent<OpenFile>[] = [];
  for (const extent of image.extents) {
    if (extent.kind !== 'range') extents.push(extent);
    else if (extent.source instanceof FileReader) extents.push({ ...extent, source: extent.source.openFile });
    else return undefined;
  }
  return { size: image.size, extents };
}

/** Gives images their readers back, one for each file. */
function opener(): (image: Image<OpenFile>) => Image {
  const readers = new Map<number, Reader>();
  const readerOf = (file: OpenFile) => {
    const reader = readers.get(file.fd) ?? openFileReader(file);
    readers.set(file.fd, reader);
    return reader;
  };
  return ({ size, extents }) => ({
    size,
    extents: extents.map((extent) =>
      extent.kind === 'range' ? { ...extent, source: readerOf(extent.source) } : extent,
    ),
  });
}
