import { messageOf, UsageError } from '../io/errors.ts';
import { checkedOutRef, classify } from '../release/index.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'classify-version',
  summary: 'Say what a git ref is released as: version, prerelease, draft, latest, container tags',
  description:
    'A tag `vX.Y.Z` is a release and `vX.Y.Z-beta.1` a prerelease, with or without the `v`; a branch or a pull request is a draft whose version is made from the newest reachable version tag, the branch and the commit. Anything else is an error.',
  inputs: {
    ref: {
      type: 'string',
      defaultText: "the event's ref, else the checked out branch",
      description: 'Full name of a tag or branch, as `refs/tags/v1.2.3`.',
    },
    'prerelease-labels': {
      type: 'list',
      default: ['alpha', 'beta', 'rc'],
      description: 'First prerelease identifiers that are accepted, alone or followed by digits.',
    },
  },
  outputs: {
    version: { type: 'string', description: 'The tag as it is written; for a draft a version made up for it.' },
    semver: { type: 'string', description: 'The version without a leading `v`; always valid SemVer.' },
    prerelease: { type: 'boolean', description: 'Whether it is a prerelease.' },
    draft: { type: 'boolean', description: 'Whether it is a draft, which is never published.' },
    'make-latest': {
      type: 'boolean',
      description: 'Whether it is the highest stable version of all version tags; false in a shallow clone.',
    },
    channel: { type: 'string', description: '`stable`, the prerelease label, or `draft`.' },
    'container-tags': {
      type: 'list',
      description: 'Tags for a container: the version (`+` as `_`), and `latest` if `make-latest`.',
    },
    'release-name': { type: 'string', description: 'A title for the release.' },
  },
  permissions: { 'contents: read': 'to check the repository out, with its tags (`fetch-depth: 0`)' },
  branding: { icon: 'tag', color: 'blue' },
  async run(inputs, host) {
    const fromEvent = host.env.GITHUB_REF || undefined;
    const ref = inputs.ref?.trim() ?? fromEvent ?? (await checkedOutRef(host.cwd));
    if (!ref)
      throw new UsageError('"ref" is not set, and neither is GITHUB_REF: give refs/tags/NAME or refs/heads/NAME');
    const result = await classify(ref, {
      cwd: host.cwd,
      labels: inputs['prerelease-labels'],
      commit: host.env.GITHUB_SHA,
      warn: host.warning,
      signal: host.signal,
    }).catch((error: unknown) => {
      // Only what was given is wrong usage; the event isn't the command line.
      throw inputs.ref === undefined && error instanceof UsageError
        ? new Error(messageOf(error), { cause: error })
        : error;
    });
    return {
      version: result.version,
      semver: result.semver,
      prerelease: result.prerelease,
      draft: result.draft,
      'make-latest': result.makeLatest,
      channel: result.channel,
      'container-tags': result.containerTags,
      'release-name': result.releaseName,
    };
  },
});
