import { join, resolve } from 'node:path';
import {
  ARCHITECTURES,
  type Architecture,
  type BuildResult,
  build,
  CHECKSUMS,
  FORMATS,
  type Overrides,
  SAFE_NAME,
} from '../build/index.ts';
import { quote, UsageError } from '../io/errors.ts';
import { assertReleasable, bootImages, fetchBase, publishBuild, versionOf } from './build-iso/steps.ts';
import { defineCommand, type InputValues } from './command.ts';
import { fileTable } from './outputs.ts';

const inputs = {
  workspace: { type: 'path', default: '.', description: 'The folder with the Butane files.' },
  definition: {
    type: 'path',
    defaultText: '`k4all.yaml` of the workspace if it exists, else the k4all layout',
    description: 'The build definition.',
  },
  name: { type: 'string', defaultText: "the definition's, `k4all`", description: 'First part of every file name.' },
  roles: {
    type: 'list',
    defaultText: "the definition's, `bootstrap,control,worker`",
    description: 'Node roles to build.',
  },
  architectures: {
    type: 'choices',
    choices: ARCHITECTURES,
    defaultText: "the definition's, `x86_64`",
    description: 'Architectures to build for.',
  },
  stream: {
    type: 'string',
    defaultText: "the definition's, `stable`",
    description: 'Fedora CoreOS stream that the base image is fetched from.',
  },
  'base-iso': {
    type: 'list',
    description:
      'A live ISO to start from instead of a fetched one, or `architecture=path` for each of several architectures.',
  },
  formats: {
    type: 'choices',
    choices: FORMATS,
    defaultText: "the definition's, `iso,qcow2,vdi`",
    description: 'Image formats to build.',
  },
  'disk-size': {
    type: 'size',
    defaultText: "the definition's, `60G`",
    description: 'Virtual size of the disk images.',
  },
  'kernel-arguments': {
    type: 'lines',
    description: "Kernel arguments for the live system, one per line, after the definition's.",
  },
  version: {
    type: 'string',
    defaultText: 'from the git ref as classify-version says, else `dev`',
    description: 'Version in the file names.',
  },
  'output-dir': { type: 'path', default: 'out', description: 'Where the images go.' },
  secrets: {
    type: 'choice',
    choices: ['warn', 'fail', 'ignore'],
    default: 'warn',
    description: 'What a password hash, private key or token in a config leads to.',
  },
  'boot-test': {
    type: 'boolean',
    default: false,
    description: 'Boot every image in QEMU before anything is published.',
  },
  release: { type: 'boolean', default: false, description: 'Publish the images as a GitHub release.' },
  force: { type: 'boolean', default: false, description: 'Replace existing files in the output folder.' },
} as const;

type BuildInputs = InputValues<typeof inputs>;

export const command = defineCommand({
  name: 'build-iso',
  summary: 'Build installer ISOs and disk images for every node role from Butane files',
  description:
    'Compiles the Butane files of every role, embeds the results in a Fedora CoreOS live ISO, lays QCOW2 and VDI over the ' +
    'same bytes, and writes checksums. Needs no container engine, no root and no other tool.',
  inputs,
  outputs: {
    files: { type: 'json', description: 'List of images: `role`, `architecture`, `format`, `path`, `size`, `sha256`.' },
    checksums: { type: 'string', description: 'Path of `SHA256SUMS`.' },
    version: { type: 'string', description: 'The version in the file names.' },
    prerelease: { type: 'boolean', description: 'Whether the version is a prerelease.' },
    'coreos-release': { type: 'string', description: 'The Fedora CoreOS release the images are built on.' },
  },
  permissions: {
    'contents: read': 'to check out the Butane files',
    'contents: write': 'instead, with `release`: to create the release',
  },
  async run(values, host) {
    for (const role of values.roles) assertSafeName('roles', role);
    for (const name of ['name', 'version'] as const) if (values[name] !== undefined) assertSafeName(name, values[name]);
    const given = baseIsos(values);
    const workspace = resolve(host.cwd, values.workspace);
    const outputDir = resolve(host.cwd, values['output-dir']);
    const version = await versionOf(values.version, workspace, host);
    if (values.release) assertReleasable(version, host);
    const { images, bases } = await build(
      {
        workspace,
        definition: values.definition === undefined ? undefined : resolve(host.cwd, values.definition),
        overrides: overridesOf(values),
        version: version.version,
        basesAtHand: given.size > 0,
        baseIso: async (architecture, coreos) => {
          const path = given.get(architecture) ?? given.get('any');
          return path === undefined ? fetchBase(architecture, coreos, host) : resolve(host.cwd, path);
        },
        outputDir,
        secrets: values.secrets,
        force: values.force,
      },
      host,
    );
    if (values['boot-test']) await bootImages(images, outputDir, host);
    if (values.release) await publishBuild(version, images, outputDir, host);
    return {
      files: images.map((image) => ({ ...image, path: join(values['output-dir'], image.path) })),
      checksums: join(values['output-dir'], CHECKSUMS),
      version: version.version,
      prerelease: version.prerelease,
      'coreos-release': [...new Set(bases.map(({ release }) => release))].join(','),
    };
  },
  present: ({ files }) => fileTable(files as BuildResult['images']),
});

/** The base ISOs that were given, by architecture; `any` for a path alone. */
type GivenBases = ReadonlyMap<Architecture | 'any', string>;

function baseIsos({ 'base-iso': given, architectures = [] }: BuildInputs): GivenBases {
  const bases = new Map<Architecture | 'any', string>();
  for (const text of given) {
    const [, architecture = 'any', path = text] = /^(x86_64|aarch64|ppc64le|s390x)=(.+)$/.exec(text) ?? [];
    if (bases.has(architecture as Architecture)) {
      throw new UsageError(
        `"base-iso" is given twice for ${architecture === 'any' ? 'all architectures' : architecture}`,
      );
    }
    bases.set(architecture as Architecture, path);
  }
  if (bases.has('any') && (bases.size > 1 || architectures.length > 1)) {
    throw new UsageError('"base-iso" takes architecture=path for each of several architectures, as in x86_64=live.iso');
  }
  return bases;
}

function overridesOf(values: BuildInputs): Overrides {
  const { name, roles, architectures, stream, formats } = values;
  return {
    ...{ name, roles, architectures, stream, formats },
    diskSize: values['disk-size'],
    kernelArguments: values['kernel-arguments'],
  };
}

function assertSafeName(input: string, value: string): void {
  if (SAFE_NAME.test(value)) return;
  throw new UsageError(`"${input}" is ${quote(value)}, but takes letters, digits, ".", "_", "+" and "-" only`);
}
