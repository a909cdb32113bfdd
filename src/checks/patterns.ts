/**
 * What secrets look like in a text.
 *
 * Every expression takes time in proportion to the text: no quantifier stands in another, and one that has no small upper
 * bound starts behind a character that it can't hold itself (the lookbehind), so that no two matches are tried over the
 * same characters.
 */
interface Pattern {
  readonly kind: string;
  /** Global; the group `secret`, or else all of the match, is the secret itself. */
  readonly shape: RegExp;
  /** Whether a match is a secret indeed. */
  readonly holds?: (secret: string) => boolean;
  /** What the text has to hold, too. */
  readonly beside?: RegExp;
}

const patterns: readonly Pattern[] = [
  // crypt(5): yescrypt and gost-yescrypt, scrypt, SHA-512 and SHA-256, bcrypt, MD5
  { kind: 'password hash', shape: /\$g?y\$[./0-9A-Za-z]{1,32}\$[./0-9A-Za-z]{1,86}\$(?<secret>[./0-9A-Za-z]{20,86})/g },
  { kind: 'password hash', shape: /\$7\$[./0-9A-Za-z]{11,97}\$(?<secret>[./0-9A-Za-z]{43})/g },
  {
    kind: 'password hash',
    shape: /\$[56]\$(?:rounds=\d{1,9}\$)?[^$:\s"']{1,16}\$(?<secret>[./0-9A-Za-z]{20,86})(?![./0-9A-Za-z])/g,
  },
  { kind: 'password hash', shape: /\$2[abxy]\$\d\d\$(?<secret>[./0-9A-Za-z]{53})/g },
  { kind: 'password hash', shape: /\$1\$[^$:\s"']{1,8}\$(?<secret>[./0-9A-Za-z]{22})(?![./0-9A-Za-z])/g },
  {
    kind: 'password hash',
    shape: /grub\.pbkdf2\.sha512\.\d{1,9}\.[0-9A-Fa-f]{8,1024}\.(?<secret>[0-9A-Fa-f]{32,1024})/g,
  },
  // PEM (RFC 7468), its header lines (RFC 1421) left out; line ends may be escaped, as in JSON.
  {
    kind: 'private key',
    shape:
      /-----BEGIN (?:[A-Z0-9]{1,16} ){0,3}PRIVATE KEY(?: BLOCK)?-----[ \t\r]{0,8}(?:\\r)?(?:\\n|\n)(?:[ \t]{0,64}(?:[A-Za-z-]{1,32}: [^\n\\]{0,200})?\r?(?:\\r)?(?:\\n|\n)){0,8}[ \t]{0,64}(?<secret>[A-Za-z0-9+/=_-]{4,128})[ \t]{0,8}(?:$|[\r\n"'\\])/gm,
  },
  { kind: 'private key', shape: /(?<![0-9A-Z])AGE-SECRET-KEY-(?:PQ-)?1(?<secret>[0-9A-Z]{24,4096})/g },
  { kind: 'private key', shape: /^[ \t]{0,64}PrivateKey[ \t]{0,8}=[ \t]{0,8}(?<secret>[A-Za-z0-9+/]{43}=)/gm },
  {
    kind: 'private key',
    shape: /"d\\?"\s{0,8}:\s{0,8}\\?"(?<secret>[A-Za-z0-9_-]{40,2048})\\?"/g,
    // A JSON web key (RFC 7517): the public one has no "d".
    beside: /"kty\\?"/,
  },
  { kind: 'GitHub token', shape: /(?<![A-Za-z0-9_])gh[oprsu]_(?<secret>[A-Za-z0-9]{36,255})/g },
  { kind: 'GitHub token', shape: /(?<![A-Za-z0-9_])github_pat_(?<secret>[A-Za-z0-9_]{22,255})/g },
  { kind: 'GitLab token', shape: /(?<![A-Za-z0-9_-])gl(?:pat|ptt|dt|rt|cbt|agent)-(?<secret>[A-Za-z0-9_-]{20,255})/g },
  { kind: 'AWS access key', shape: /(?<![A-Za-z0-9])(?:AKIA|ASIA)(?<secret>[A-Z0-9]{16})(?![A-Za-z0-9])/g },
  {
    kind: 'AWS secret key',
    shape:
      /secret_?access_?key\\?["']?[ \t]{0,8}[=:][ \t]{0,8}\\?["']?(?<secret>[A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])/gi,
  },
  { kind: 'Slack token', shape: /(?<![A-Za-z0-9-])(?:xox[a-z]|xapp)-(?<secret>[A-Za-z0-9-]{10,255})/g },
  { kind: 'Google API key', shape: /(?<![A-Za-z0-9_-])AIza(?<secret>[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])/g },
  { kind: 'Tailscale token', shape: /(?<![A-Za-z0-9-])tskey-[a-z]{2,16}-(?<secret>[A-Za-z0-9-]{16,128})/g },
  { kind: 'npm token', shape: /(?<![A-Za-z0-9_])npm_(?<secret>[A-Za-z0-9]{36})(?![A-Za-z0-9_])/g },
  {
    kind: 'JSON web token',
    shape: /(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,4096}\.eyJ[A-Za-z0-9_-]{4,8192}\.(?<secret>[A-Za-z0-9_-]{16,2048})/g,
  },
  // A bootstrap token has no mark of its own, so something has to call it one.
  {
    kind: 'kubeadm bootstrap token',
    shape: /(?:token|bootstrap)[^\n]{0,40}?(?<![a-z0-9.])(?<secret>[a-z0-9]{6}\.[a-z0-9]{16})(?![a-z0-9.])/gi,
    holds: (token) => /\d/.test(token) && token === token.toLowerCase(),
  },
  {
    kind: 'kubeadm bootstrap token',
    shape: /token-secret\\?["']?[ \t]{0,8}:[ \t]{0,8}\\?["']?(?<secret>[a-z0-9]{16})(?![a-z0-9])/g,
  },
  {
    kind: 'kubeadm certificate key',
    shape: /certificate-?key\\?["']?(?:[ \t]{0,8}[=:]|[ \t])[ \t]{0,8}\\?["']?(?<secret>[0-9a-f]{64})(?![0-9a-f])/gi,
  },
  { kind: 'k3s token', shape: /(?<![A-Za-z0-9])K10[0-9a-f]{64}::(?<secret>[A-Za-z0-9._:-]{6,255})/g },
  {
    kind: 'k3s token',
    shape:
      /(?:K3S|RKE2)_(?:AGENT_)?(?:TOKEN|CLUSTER_SECRET)\\?["']?(?:=|:[ \t]{0,8})\\?["']?(?<secret>[^\s"'\\$<{(]{6,255})/g,
  },
  // Docker's and Podman's auth files
  {
    kind: 'registry credentials',
    shape: /"auth\\?"\s{0,8}:\s{0,8}\\?"(?<secret>[A-Za-z0-9+/]{4,4096}={0,2})\\?"/g,
    holds: (auth) => /^[^:\0]+:[^\0]+$/.test(Buffer.from(auth, 'base64').toString('latin1')),
  },
  {
    kind: 'registry credentials',
    shape: /"(?:identity|registry)token\\?"\s{0,8}:\s{0,8}\\?"(?<secret>[A-Za-z0-9._~+/=-]{16,8192})\\?"/g,
  },
  {
    kind: 'HTTP credentials',
    shape:
      /authorization\\?["']?[ \t]{0,8}[:=][ \t]{0,8}\\?["']?(?:Bearer|Basic|token)[ \t]{1,8}(?<secret>[A-Za-z0-9._~+/=-]{8,8192})/gi,
  },
];

/** The kinds of the secrets in a text, each once, in the order of the patterns. */
export function secretKinds(text: string): string[] {
  const kinds = new Set<string>();
  for (const pattern of patterns) {
    if (!kinds.has(pattern.kind) && matches(text, pattern)) kinds.add(pattern.kind);
  }
  return [...kinds];
}

function matches(text: string, { shape, holds = () => true, beside }: Pattern): boolean {
  for (const match of text.matchAll(shape)) {
    const secret = match.groups?.secret ?? match[0];
    if (!isPlaceholder(secret) && holds(secret)) return beside === undefined || beside.test(text);
  }
  return false;
}

/**
 * Whether a text stands for a secret that comes later: empty, a variable, dots, one letter all over, or words that say
 * so, such as AWS's `…EXAMPLEKEY`.
 */
export function isPlaceholder(text: string): boolean {
  const start = text.slice(0, 256).trim();
  return (
    start === '' ||
    /^(?:\$[{(]?[A-Za-z_]|[<{]|%[A-Za-z({])/.test(start) ||
    /\.\.\.|…/.test(start) ||
    /^([xX*0._-])\1*$/.test(start) ||
    /EXAMPLE|REDACTED|PLACEHOLDER|X{8}|x{8}/.test(start) ||
    /change[-_]?me|replace[-_]?(?:me|with|this)|your[-_]/i.test(start)
  );
}

/** Whether the value of a `passwordHash` is the hash of a password: not empty, a placeholder, or only a lock. */
export function isPasswordHash(value: string): boolean {
  const hash = value.trim().replace(/^[!*]+/, '');
  const modular = /^\$[0-9A-Za-z-]{1,16}\$./.test(hash);
  // The hash of DES has no mark, but a length.
  return (
    (modular || /^[./0-9A-Za-z]{13}$/.test(hash)) &&
    !isPlaceholder(modular ? hash.slice(hash.indexOf('$', 1) + 1) : hash)
  );
}
