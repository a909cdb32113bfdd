import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe, it } from 'vitest';

/** A real tool that this project is held to; `.ci/run` installs all of them and makes a missing one a failure. */
export interface Peer {
  readonly available: boolean;
  readonly path: string;
}

export function peer(name: string): Peer {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return { available: true, path };
    } catch {
      // Not in this folder.
    }
  }
  return { available: false, path: name };
}

/** A `describe` that runs where all the tools are installed, is listed as skipped elsewhere, and fails where `REQUIRE_PEERS` is set. */
export function describeWithPeers(title: string, tools: readonly string[], body: () => void): void {
  const missing = tools.filter((tool) => !peer(tool).available);
  if (missing.length === 0) describe(title, body);
  else if (process.env.REQUIRE_PEERS) {
    it(`${title}: needs ${missing.join(', ')}`, () => {
      throw new Error(`${missing.join(', ')} is not installed, and REQUIRE_PEERS is set`);
    });
  } else describe.skip(`${title} (needs ${missing.join(', ')})`, body);
}
