import { formatSize } from '../io/sizes.ts';
import type { ImageRecord } from './build-info.ts';
import type { PlannedImage } from './plan.ts';

/** How full the Ignition area of a role's ISO is, in bytes. */
export interface AreaRecord {
  readonly role: string;
  readonly architecture: string;
  readonly used: number;
  readonly size: number;
}

/** The plan for the log, a line per role and architecture. */
export function planLines(images: readonly PlannedImage[]): string[] {
  const groups = Map.groupBy(images, ({ role, architecture }) => `${role} on ${architecture}`);
  return [...groups].map(([title, group]) => `${title}: ${group.map(({ format }) => format).join(', ')}`);
}

/** The job summary: a table of images with sizes and digests, and how full each area is. */
export function buildSummary(title: string, images: readonly ImageRecord[], areas: readonly AreaRecord[]): string {
  const files = images.map(({ path, size, sha256 }) => `| \`${path}\` | ${formatSize(size)} | \`${sha256}\` |`);
  const meters = areas.map(
    ({ role, architecture, used, size }) =>
      `| ${role} | ${architecture} | ${formatSize(used)} of ${formatSize(size)} | ${((100 * used) / size).toFixed(1)} % |`,
  );
  return [
    `## ${title}\n`,
    '| image | size | SHA-256 |\n| --- | ---: | --- |',
    ...files,
    '\n| role | architecture | Ignition area | used |\n| --- | --- | --- | ---: |',
    ...meters,
    '',
  ].join('\n');
}
