/** Stands for actions/download-artifact, which can't be fetched in the tests: all artifacts of a pattern, a folder each. */
import { join, matchesGlob } from 'node:path';
import { DefaultArtifactClient } from '@actions/artifact';
import { getInput, setFailed } from '@actions/core';

try {
  const client = new DefaultArtifactClient();
  const { artifacts } = await client.listArtifacts({ latest: true });
  for (const { id, name } of artifacts.filter((artifact) => matchesGlob(artifact.name, getInput('pattern')))) {
    await client.downloadArtifact(id, { path: join(getInput('path'), name) });
  }
} catch (error) {
  setFailed(error as Error);
}
