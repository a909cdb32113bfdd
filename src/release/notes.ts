import { formatSize } from '../io/sizes.ts';
import { CHECKSUMS } from './asset-name.ts';

/** GitHub takes at most this many characters. */
export const BODY_LIMIT = 125_000;
/** What follows in a body is ours, and is made anew each time. */
const MARKER = '<!-- k4all: what follows is made by create-release';
/** The table of files gets at most this share of the body. */
const FILES_SHARE = 0.6;

/** An asset as the notes list it. */
export interface ListedFile {
  readonly name: string;
  readonly size: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** A file that is in the release as parts. */
export interface SplitFile {
  readonly name: string;
  readonly parts: readonly string[];
}

export interface NotesContent {
  /** What the user wrote. */
  readonly body: string;
  /** What GitHub made of the pull requests; empty if nobody asked. */
  readonly generated: string;
  readonly files: readonly ListedFile[];
  readonly splits: readonly SplitFile[];
  /** Fedora CoreOS release by architecture. */
  readonly coreosReleases: Readonly<Record<string, string>>;
  /** Whether `SHA256SUMS` is, or will be, among the assets. */
  readonly checksums: boolean;
  /** The repository on the web, as `https://github.com/owner/name`. */
  readonly repositoryUrl: string;
  readonly tag: string;
}

/** A body that says where ours begins; `mark` tells this draft from others. */
export function withMarker(body: string, mark = ''): string {
  const start = shorten(body, BODY_LIMIT - 200, '').trimEnd();
  return `${start === '' ? '' : `${start}\n\n`}${MARKER}${mark ? ` ${mark}` : ''} -->\n`;
}

/** What the user wrote of a body that `withMarker` or `composeNotes` made. */
export function ownBody(body: string): string {
  return (body.split(MARKER)[0] ?? '').trimEnd();
}

/** The notes of a release in Markdown, cut at GitHub's limit with a link to what is missing. */
export function composeNotes(content: NotesContent): string {
  const files = filesSection(content);
  const generated = content.body.includes(content.generated.trim()) ? '' : content.generated.trim();
  const full = `${content.repositoryUrl}/commits/${encodeRef(content.tag)}`;
  const more = `\n\n… the notes are cut at GitHub's limit; [all changes](${full})\n`;
  const room = BODY_LIMIT - files.length - MARKER.length - 20;
  const own = shorten(content.body.trimEnd(), room, more);
  const changes = shorten(generated, room - own.length - 2, more);
  return [withMarker(own).trimEnd(), changes, files].filter((part) => part !== '').join('\n\n');
}

function filesSection(content: NotesContent): string {
  const sections = [
    fileTable(content),
    coreosTable(content.coreosReleases),
    content.files.length > 0 && content.checksums ? verifySection(content) : '',
    joinSection(content.splits),
    stickSection(content.files),
  ];
  return sections.filter((section) => section !== '').join('\n\n');
}

function fileTable({ files, checksums, repositoryUrl, tag }: NotesContent): string {
  if (files.length === 0) return '';
  const head = '## Files\n\n| file | size | SHA-256 |\n| --- | --- | --- |\n';
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  let table = head;
  for (const [index, { name, size, sha256 }] of sorted.entries()) {
    const row = `| \`${name}\` | ${formatSize(size)} | \`${sha256}\` |\n`;
    if (table.length + row.length > BODY_LIMIT * FILES_SHARE) {
      const link = `${repositoryUrl}/releases/download/${encodeRef(tag)}/${CHECKSUMS}`;
      const where = checksums ? `[${CHECKSUMS}](${link}) lists them all` : 'they are among the assets';
      return `${table}\n… and ${sorted.length - index} more files: ${where}.`;
    }
    table += row;
  }
  return table.trimEnd();
}

function coreosTable(releases: Readonly<Record<string, string>>): string {
  const rows = Object.entries(releases)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([architecture, release]) => `| ${architecture} | ${release} |`);
  if (rows.length === 0) return '';
  return `## Built on\n\n| architecture | Fedora CoreOS |\n| --- | --- |\n${rows.join('\n')}`;
}

function verifySection({ splits }: NotesContent): string {
  const note = splits.length > 0 ? ' It has a line for every part and one for every joined file.' : '';
  return [
    '## Verify',
    `Download \`${CHECKSUMS}\` into the same folder.${note}`,
    fence(`sha256sum --check --ignore-missing ${CHECKSUMS}`),
    `On macOS \`shasum -a 256 --check --ignore-missing ${CHECKSUMS}\`; on Windows compare with \`Get-FileHash FILE\`.`,
  ].join('\n\n');
}

function joinSection(splits: readonly SplitFile[]): string {
  if (splits.length === 0) return '';
  const unix = splits.map(({ name, parts }) => `cat ${parts.join(' ')} > ${name}`);
  const windows = splits.map(({ name, parts }) => `copy /b ${parts.join('+')} ${name}`);
  return [
    '## Join the parts',
    'Files that are larger than GitHub takes are here in parts. Join them after the download:',
    fence(unix.join('\n')),
    'On Windows, at the command prompt:',
    fence(windows.join('\n')),
  ].join('\n\n');
}

function stickSection(files: readonly ListedFile[]): string {
  const iso = files.map(({ name }) => /^(.+\.iso)(\.part01)?$/.exec(name)?.[1]).find((name) => name !== undefined);
  if (iso === undefined) return '';
  return [
    '## Write an ISO to a USB stick',
    '`lsblk` shows the name of the stick. **Everything on it is lost.**',
    fence(`sudo dd if=${iso} of=/dev/sdX bs=4M conv=fsync status=progress`),
    'On macOS and Windows use Fedora Media Writer ("custom image"), or Rufus in DD mode.',
  ].join('\n\n');
}

function fence(code: string): string {
  return `\`\`\`sh\n${code}\n\`\`\``;
}

/** Cuts at a line's end so that text and `suffix` fit, and closes a code fence that the cut left open. */
function shorten(text: string, limit: number, suffix: string): string {
  if (text.length <= limit) return text;
  const room = limit - suffix.length - 8;
  if (room <= 0) return '';
  const start = text.slice(0, room);
  const lineEnd = start.lastIndexOf('\n');
  // Not between the halves of a character; a single endless line is cut where it must be.
  const kept = lineEnd > room / 2 ? start.slice(0, lineEnd) : start.replace(/[\ud800-\udbff]$/, '');
  const fences = kept.match(/^ {0,3}(```|~~~)/gm) ?? [];
  return `${kept}${fences.length % 2 === 1 ? `\n${fences.at(-1)?.trim()}` : ''}${suffix}`;
}

function encodeRef(ref: string): string {
  return ref.split('/').map(encodeURIComponent).join('/');
}
