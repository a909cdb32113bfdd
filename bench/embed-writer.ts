/**
 * Customises an ISO, without a digest where it writes a new one, and prints how many seconds the library took.
 *
 *     node bench/embed-writer.ts ISO CONFIG [OUTPUT]
 */
import { readFile } from 'node:fs/promises';
import { fileImage, patchImage, writeImage } from '../src/disk/index.ts';
import { FileReader } from '../src/io/reader.ts';
import { CONFIG_PATH, embed, openLiveIso, patchInPlace, verify } from '../src/iso/index.ts';

const started = performance.now();
const [iso = '', config = '', output] = process.argv.slice(2);
await using reader = await FileReader.open(iso);
const files = new Map([[CONFIG_PATH, await readFile(config)]]);
const { patches } = embed(await openLiveIso(reader), { files, kernelArguments: { append: ['a', 'b'] } });
if (output) await writeImage(patchImage(fileImage(reader), patches), output, { digest: false });
else {
  await patchInPlace(iso, patches);
  await using written = await FileReader.open(iso);
  await verify(written, patches);
}
console.log((performance.now() - started) / 1000);
