import { resolve } from 'node:path';
import { ARCHITECTURES, type Architecture, type BuildResult, build, FORMATS, SAFE_NAME } from '../build/index.ts';
import type { Host } from '../host/host.ts';
import { quote, UsageError } from '../io/errors.ts';
import { formatSize } from '../io/sizes.ts';
import { defineCommand, type InputValues } from './command.ts';
import { renderTable } from './outputs.ts';

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
    description: 'A live ISO to start from instead of a fetched one, or `architecture=path` for each of several architectures.',
  },
  formats: {
    type: 'choices',
    choices: FORMATS,
    defaultText: "the definition's, `iso,qcow2,vdi`",
    description: 'Image formats to build.',
  },
  'disk-size': { type: 'size', defaultText: "the definition's, `60G`", description: 'Virtual size of the disk images.' },
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
  'boot-test': { type: 'boolean', default: false, description: 'Boot every image in QEMU before anything is published.' },
  release: { type: 'boolean', default: false, description: 'Publish the images as a GitHub release.' },
  force: { type: 'boolean', default: false, description: 'Replace existing files in the output folder.' },
} as const;
