/** The list of digests that every release gets when it is published; its own, never the user's. */
export const CHECKSUMS = 'SHA256SUMS';

/**
 * The names that GitHub may give an asset, likeliest first. Names of letters, digits, `.`, `_` and `-` stay as they are;
 * how others are rewritten isn't documented in detail ("GitHub renames asset filenames that have special characters,
 * non-alphanumeric characters, and leading or trailing periods"), so that an existing asset is looked for under each
 * rewriting that was seen, and the name in the server's answer is what counts.
 */
export function possibleNames(name: string): readonly string[] {
  const plain = name.normalize('NFD').replaceAll(/\p{M}/gu, '');
  const strict = /[^A-Za-z0-9._-]/g;
  const names = [
    tidy(plain, strict),
    tidy(plain, /[^A-Za-z0-9._+@-]/g),
    tidy(name, strict),
    name.replaceAll(strict, '.'),
  ];
  // A name that is nothing but special characters leaves nothing to go by; the server's answer tells.
  return [...new Set(isPlain(name) ? [name] : [...names, name])].filter((candidate) => candidate !== '');
}

/** The name that GitHub will most probably show. */
export function predictedName(name: string): string {
  return possibleNames(name)[0] ?? name;
}

function isPlain(name: string): boolean {
  return /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name);
}

/** Runs of other characters as one period, none at the ends; a name that starts with a period gets a stem. */
function tidy(name: string, others: RegExp): string {
  const stem = name.startsWith('.') ? `default${name}` : name;
  return stem
    .replaceAll(others, '.')
    .replaceAll(/\.{2,}/g, '.')
    .replaceAll(/^\.|\.$/g, '');
}
