import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

/** `length` characters of an alphabet, the same at every run, put together here so that no scanner takes the tests for a leak. */
export function letters(seed: string, length: number, alphabet = ALPHANUMERIC): string {
  let text = '';
  for (let block = 0; text.length < length; block++) {
    for (const byte of createHash('sha256').update(`${seed}${block}`).digest())
      text += alphabet[byte % alphabet.length];
  }
  return text.slice(0, length);
}

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const LOWER = 'abcdefghijklmnopqrstuvwxyz0123456789';
const UPPER = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const HEX = '0123456789abcdef';

const url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const auth = Buffer.from(`robot:${letters('password', 20)}`).toString('base64');

export const HASH = `$y$j9T$${letters('salt', 22)}$${letters('hash', 43)}`;
export const GITHUB = `ghp_${letters('github', 36)}`;

export function pem(label: string, eol = '\n'): string {
  const body = [1, 2, 3].map((line) => letters(label + line, 64));
  return [
    '-'.repeat(5),
    `BEGIN ${label}`,
    '-'.repeat(5),
    eol,
    body.join(eol),
    eol,
    '-'.repeat(5),
    `END ${label}`,
    '-----',
  ].join('');
}

/** What a shell puts a value in for. */
export const variable = (name: string) => `$\{${name}}`;

/** Texts with a secret, and its kind. */
export const SECRETS: readonly [kind: string, text: string][] = [
  ['password hash', HASH],
  ['password hash', `core:${HASH}:19000:0:99999:7:::`],
  ['password hash', `$gy$j9T$${letters('a', 22)}$${letters('b', 43)}`],
  ['password hash', `$7$CU..../....${letters('c', 20)}$${letters('d', 43)}`],
  ['password hash', `$6$${letters('e', 16)}$${letters('f', 86)}`],
  ['password hash', `$6$rounds=4096$${letters('g', 8)}$${letters('h', 86)}`],
  ['password hash', `$5$${letters('i', 16)}$${letters('j', 43)}`],
  ['password hash', `$1$${letters('k', 8)}$${letters('l', 22)}`],
  ['password hash', `admin:$2y$05$${letters('m', 53)}`],
  ['password hash', `$2b$12$${letters('n', 53)}`],
  [
    'password hash',
    `password_pbkdf2 root grub.pbkdf2.sha512.10000.${letters('o', 128, HEX)}.${letters('p', 128, HEX)}`,
  ],
  ['private key', pem('OPENSSH PRIVATE KEY')],
  ['private key', pem('RSA PRIVATE KEY')],
  ['private key', pem('EC PRIVATE KEY', '\r\n')],
  ['private key', pem('PRIVATE KEY')],
  ['private key', pem('ENCRYPTED PRIVATE KEY')],
  [
    'private key',
    pem('RSA PRIVATE KEY').replace('-----\n', '-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n'),
  ],
  ['private key', pem('PGP PRIVATE KEY BLOCK').replace('-----\n', '-----\n\n')],
  ['private key', pem('PRIVATE KEY').replaceAll('\n', '\n      ')],
  ['private key', JSON.stringify({ type: 'service_account', private_key: pem('PRIVATE KEY') })],
  ['private key', `AGE-SECRET-KEY-1${letters('age', 58, UPPER)}`],
  ['private key', `[Interface]\nPrivateKey = ${letters('wireguard', 43)}=\n`],
  ['private key', JSON.stringify({ kty: 'EC', crv: 'P-521', x: letters('x', 88), d: letters('d', 88) })],
  ['GitHub token', GITHUB],
  ['GitHub token', `https://x:gho_${letters('q', 36)}@example.com/`],
  ['GitHub token', `ghs_${letters('r', 36)}`],
  ['GitHub token', `github_pat_${letters('s', 22)}_${letters('t', 59)}`],
  ['GitLab token', `glpat-${letters('u', 20)}`],
  ['AWS access key', `AKIA${letters('v', 16, UPPER)}`],
  ['AWS secret key', `aws_secret_access_key = ${letters('w', 40)}`],
  ['AWS secret key', JSON.stringify({ SecretAccessKey: letters('w', 40) })],
  ['Slack token', `xoxb-${letters('x', 12, '0123456789')}-${letters('y', 24)}`],
  ['Google API key', `key=AIza${letters('z', 35)}`],
  ['Tailscale token', `tskey-auth-${letters('ts', 12)}-${letters('tt', 30)}`],
  ['npm token', `//registry.example/:_authToken=npm_${letters('npm', 36)}`],
  ['JSON web token', `${url({ alg: 'HS256', typ: 'JWT' })}.${url({ sub: 'node' })}.${letters('jwt', 43)}`],
  [
    'kubeadm bootstrap token',
    `kubeadm join 10.0.0.1:6443 --token ${letters('1', 5, LOWER)}1.${letters('2', 16, LOWER)}`,
  ],
  ['kubeadm bootstrap token', 'bootstrapTokens:\n- groups: [a]\n  token: abcdef.0123456789abcdef\n'],
  ['kubeadm bootstrap token', 'stringData:\n  token-id: abcdef\n  token-secret: 0123456789abcdef\n'],
  ['kubeadm certificate key', `kubeadm join --control-plane --certificate-key ${letters('ck', 64, HEX)}`],
  ['kubeadm certificate key', `certificateKey: ${letters('ck', 64, HEX)}`],
  ['k3s token', `K10${letters('ca', 64, HEX)}::server:${letters('k3s', 32, HEX)}`],
  ['k3s token', `Environment="K3S_TOKEN=${letters('k3', 24)}"`],
  ['registry credentials', JSON.stringify({ auths: { 'ghcr.io': { auth } } })],
  ['registry credentials', JSON.stringify({ auths: { 'ghcr.io': { auth } } }, null, '\t')],
  ['HTTP credentials', `curl -H "Authorization: Bearer ${letters('bearer', 30)}" https://example.com`],
];

/** Texts that look like secrets and are none. */
export const HARMLESS: readonly string[] = [
  '',
  '!',
  '*',
  '!!',
  '!*',
  `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${letters('ssh', 43)} core@example.com`,
  `ssh-rsa AAAAB3NzaC1yc2E${letters('rsa', 372)}`,
  pem('CERTIFICATE'),
  pem('PUBLIC KEY'),
  pem('PGP PUBLIC KEY BLOCK'),
  `sha512-${letters('sum', 128, HEX)}`,
  `${letters('sum', 64, HEX)}  file.iso`,
  `--discovery-token-ca-cert-hash sha256:${letters('ca', 64, HEX)}`,
  `token: ${variable('TOKEN')}`,
  'K3S_TOKEN=$TOKEN',
  `K3S_TOKEN=${variable('K3S_TOKEN')}`,
  'K3S_TOKEN=changeme',
  'K3S_TOKEN_FILE=/etc/rancher/token',
  'Authorization: Bearer $TOKEN',
  'Authorization: Bearer <your token>',
  'ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx',
  'ghp_short',
  `${letters('word', 30)}_ghp_`,
  'AKIAIOSFODNN7EXAMPLE',
  'aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  '-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----',
  `-----BEGIN PRIVATE KEY-----\n${variable('KEY')}\n-----END PRIVATE KEY-----`,
  'grep -q -e "-----BEGIN OPENSSH PRIVATE KEY-----" "$1"\necho found',
  'echo $1$2$3 $6$5',
  "awk '{print $1$2}' | sed s/$y$x/$z/",
  'rpm -q abcdef.0123456789abcdef',
  'bash-completion.x86_64 token.service.d/override.conf',
  JSON.stringify({ auths: { 'ghcr.io': { auth: '' } } }),
  JSON.stringify({ auth: Buffer.from('no colon here').toString('base64') }),
  JSON.stringify({ kty: 'EC', crv: 'P-521', x: letters('x', 88), y: letters('y', 88) }),
  JSON.stringify({ d: letters('d', 64) }),
  variable('PASSWORD_HASH'),
  '$6$...',
  'PrivateKey = <key>',
  'https://github.com/k4all/k4all/releases/download/v1.0.0/checksum.txt',
];

export const base64Url = (data: string | Uint8Array) => `data:;base64,${Buffer.from(data).toString('base64')}`;
export const percentUrl = (data: string) => `data:,${encodeURIComponent(data)}`;

/** A resource as Butane writes it for what is worth compressing. */
export const gzipResource = (data: string) => ({ compression: 'gzip', source: base64Url(gzipSync(data)) });

export const configWith = (sections: object) => ({ ignition: { version: '3.4.0' }, ...sections });
export const withFile = (contents: object) => configWith({ storage: { files: [{ path: '/etc/x', contents }] } });
