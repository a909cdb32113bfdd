import { parentPort, workerData } from 'node:worker_threads';
import { type Compression, encodeBlock } from './block-encoder.ts';

/** What this file is started with, so that it can tell its own worker from any other that happens to load it. */
export const WORKER_NAME = 'k4all-block-encoder';
/** This file, to be started as a worker; in the bundle it is a chunk of its own because it is imported dynamically. */
export const workerUrl: string = import.meta.url;

export interface EncoderRequest {
  readonly id: number;
  readonly block: Uint8Array<ArrayBuffer>;
  readonly compression: Compression;
}

export interface EncoderAnswer {
  readonly id: number;
  readonly result?: Uint8Array<ArrayBuffer>;
  readonly error?: Error;
}

if (workerData === WORKER_NAME && parentPort) {
  const port = parentPort;
  port.on('message', ({ id, block, compression }: EncoderRequest) => {
    try {
      // A copy whose buffer is nobody else's, so that it can be handed over.
      const result = new Uint8Array(encodeBlock(block, compression));
      port.postMessage({ id, result } satisfies EncoderAnswer, [result.buffer]);
    } catch (error) {
      port.postMessage({ id, error: error as Error } satisfies EncoderAnswer);
    }
  });
}
