/** A file with its digest, as a line of `SHA256SUMS` has them. */
export interface Checksum {
  readonly name: string;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** The text of `SHA256SUMS`, sorted by name, as `sha256sum -c` reads it. */
export function checksumsText(checksums: readonly Checksum[]): string {
  const sorted = [...checksums].sort((a, b) => (a.name < b.name ? -1 : 1));
  return sorted.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join('');
}
