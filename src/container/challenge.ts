/** What a registry asks for in a `WWW-Authenticate` header. */
export interface Challenge {
  /** Lower case: `bearer` or `basic`. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const PARAMETER = new RegExp(`^(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))`, 's');
const SCHEME = new RegExp(`^(${TOKEN})(?=\\s|,|$)`);

/**
 * Reads a `WWW-Authenticate` header, which may hold several challenges (RFC 9110, 11.6.1). What can't be read ends the
 * list.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  let rest = header.slice(0, 16 * 1024);
  for (;;) {
    rest = rest.replace(/^[\s,]+/, '');
    const parameter = PARAMETER.exec(rest);
    const current = challenges.at(-1);
    if (parameter && current) {
      const [whole, name = '', quoted, plain = ''] = parameter;
      current.parameters[name.toLowerCase()] = quoted?.replaceAll(/\\(.)/gs, '$1') ?? plain;
      rest = rest.slice(whole.length);
      continue;
    }
    const [scheme] = SCHEME.exec(rest) ?? [];
    if (scheme === undefined) return challenges;
    challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    rest = rest.slice(scheme.length);
  }
}
