/** Stands for actions/upload-artifact, which can't be fetched in the tests; uploads to the runner's own artifact server. */
import { readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DefaultArtifactClient } from '@actions/artifact';
import { getInput, setFailed } from '@actions/core';

try {
  const [name, path] = [getInput('name', { required: true }), getInput('path', { required: true })];
  const whole = (await stat(path)).isDirectory();
  const files = whole ? (await readdir(path)).map((file) => join(path, file)) : [path];
  // act's server replaces an artifact of the same name by itself.
  await new DefaultArtifactClient().uploadArtifact(name, files, whole ? path : dirname(path), { compressionLevel: 0 });
} catch (error) {
  setFailed(error as Error);
}
