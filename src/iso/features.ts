import type { IsoFileSystem } from './iso9660.ts';
import { findFile, isRecord, parseJsonFile } from './metadata.ts';

/** What a live image understands, as its `features.json` says. */
export interface Features {
  /** The file as it stands; an empty object if the image has none. */
  readonly json: Readonly<Record<string, unknown>>;
  /** The installer reads configs from /etc/coreos/installer.d. */
  readonly installerConfig: boolean;
  /** The installer's configs may set the console. */
  readonly consoleDirective: boolean;
  /** The live initramfs reads NetworkManager keyfiles. */
  readonly liveNetwork: boolean;
}

/** Reads `/coreos/features.json` of a live ISO; without it the image understands none. */
export async function readFeatures(files: IsoFileSystem): Promise<Features> {
  const entry = await findFile(files, 'coreos/features.json');
  return parseFeatures(entry ? await parseJsonFile(files.open(entry)) : {});
}

/** @throws Error if it isn't an object */
export function parseFeatures(json: unknown): Features {
  if (!isRecord(json)) throw new Error("the image's features.json is not an object: it is damaged");
  const directives = json['installer-config-directives'];
  return {
    json,
    installerConfig: json['installer-config'] === true,
    consoleDirective: isRecord(directives) && directives.console === true,
    liveNetwork: json['live-initrd-network'] === true,
  };
}
