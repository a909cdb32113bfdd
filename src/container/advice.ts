import { CREDENTIAL_SOURCES, type Credentials } from './credentials.ts';

export interface AdviceOptions {
  readonly host: string;
  readonly repository: string;
  readonly credentials: Credentials | undefined;
  /** `User` or `Organization`, where it is known. */
  readonly ownerType?: string | undefined;
}

/** What to do about a refused push, in sentences. */
export function deniedAdvice(options: AdviceOptions): string {
  const { host, credentials } = options;
  if (!credentials) {
    return `No credentials were found in ${CREDENTIAL_SOURCES}. In a job give \`token: \${{ github.token }}\` and \`permissions: packages: write\`.`;
  }
  if (host !== 'ghcr.io') {
    return `The credentials from ${credentials.from} may not write there. With GitHub's registry the job needs \`permissions: packages: write\`.`;
  }
  return [
    `Either the token from ${credentials.from} lacks \`packages: write\` (add \`permissions: packages: write\` to the job),`,
    'or the package exists and is not linked to this repository:',
    `give the repository write access under "Manage Actions access" in ${packageSettings(options)}`,
  ].join(' ');
}

/** What to tell about a package that only its owners can read. */
export function privateAdvice(options: AdviceOptions): string {
  const name = `${options.host}/${options.repository}`;
  if (options.host !== 'ghcr.io') return `${name} can't be read without credentials: it is private`;
  return `${name} is private, as packages are after their first push: change its visibility in ${packageSettings(options)}`;
}

/** The page with a package's visibility and access; its address depends on the kind of owner. */
function packageSettings({ repository, ownerType }: AdviceOptions): string {
  const [owner = '', ...name] = repository.split('/');
  const page = (kind: string) =>
    `https://github.com/${kind}/${owner}/packages/container/${encodeURIComponent(name.join('/'))}/settings`;
  if (ownerType === 'User') return page('users');
  if (ownerType === 'Organization') return page('orgs');
  return `${page('orgs')} (of a personal account: ${page('users')})`;
}
