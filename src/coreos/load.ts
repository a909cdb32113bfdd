import { quote } from '../io/errors.ts';
import { HttpError } from '../io/http.ts';
import type { StreamOrigin } from './fetch.ts';
import { type RequestOptions, readSmall, shown, toUrl } from './source.ts';
import { parseStream, type Stream } from './stream.ts';

/** The streams that Fedora promises (https://docs.fedoraproject.org/en-US/fedora-coreos/update-streams/). */
const STREAMS = ['stable', 'testing', 'next'];

/** A stream's metadata, and where it was found. */
export interface StreamSource extends StreamOrigin {
  readonly stream: Stream;
}

/** The one address that is promised to stay; everything else is read from there. */
export function defaultStreamUrl(stream: string): string {
  return `https://builds.coreos.fedoraproject.org/streams/${encodeURIComponent(stream)}.json`;
}

/**
 * Loads a stream's metadata.
 *
 * @param query.url http, https or file URL, or a path relative to `cwd`; Fedora's own by default
 * @throws Error naming the URL if it can't be read, isn't a stream's metadata, or is another stream than was asked for
 */
export async function loadStream(
  query: { stream: string; url?: string | undefined; cwd: string },
  options: RequestOptions,
): Promise<StreamSource> {
  const owner = toUrl(query.url ?? defaultStreamUrl(query.stream), query.cwd);
  const { bytes, url } = await readSmall(owner, options).catch((error: unknown) => {
    // The server of Fedora answers 403 for what it doesn't have.
    if (query.url !== undefined || !(error instanceof HttpError) || ![403, 404].includes(error.status)) throw error;
    throw new Error(`there is no stream ${quote(query.stream)}; "stream" can be ${STREAMS.join(', ')}`, {
      cause: error,
    });
  });
  const stream = parseStream(bytes.toString('utf8'), shown(owner));
  checkName(stream, query);
  return { stream, base: url, owner };
}

/** With a URL of one's own the default name means whatever is there; any other name has to be right. */
function checkName(stream: Stream, query: { stream: string; url?: string | undefined }): void {
  if (stream.stream === query.stream || (query.url !== undefined && query.stream === 'stable')) return;
  throw new Error(
    `"stream" is ${quote(query.stream)}, but "stream-url" has the stream ${quote(stream.stream)} only (Fedora's are ${STREAMS.join(', ')})`,
  );
}
