import { parentPort, workerData } from 'node:worker_threads';
import { SpentBuffers } from '../io/spent-buffers.ts';
import { type Compression, encodeBlock } from './block-encoder.ts';
import { type Slot, slotsOf } from './slots.ts';

/** What this file is started with, so that it can tell its own worker from any other that happens to load it. */
export const WORKER_NAME = 'k4all-block-encoder';
/** This file, to be started as a worker; in the bundle it is a chunk of its own because it is imported dynamically. */
export const workerUrl: string = import.meta.url;

export interface EncoderData {
  readonly name: string;
  readonly compression: Compression;
  /** Holds blocks and results, see `slots.ts`. */
  readonly memory: SharedArrayBuffer;
}

export interface EncoderRequest {
  readonly slot: number;
  /** Bytes of the block. */
  readonly length: number;
}

export interface EncoderAnswer {
  readonly slot: number;
  /** Bytes of the result. */
  readonly length: number;
  readonly error?: Error;
}

function serve({ compression, memory }: EncoderData, port: NonNullable<typeof parentPort>): void {
  const slots = slotsOf(memory);
  const spent = new SpentBuffers();
  port.on('message', ({ slot, length }: EncoderRequest) => {
    port.postMessage({ slot, ...encode(slots[slot], length, compression) } satisfies EncoderAnswer);
    spent.add(length);
  });
  port.postMessage('ready');
}

function encode(slot: Slot | undefined, length: number, compression: Compression): Omit<EncoderAnswer, 'slot'> {
  try {
    if (!slot) throw new Error('a compression thread was given a block that is not there');
    return { length: encodeBlock(slot.block.subarray(0, length), compression, slot.result).length };
  } catch (error) {
    return { length: 0, error: error as Error };
  }
}

if (workerData?.name === WORKER_NAME && parentPort) serve(workerData, parentPort);
