import { type Document, isMap, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { type Finding, FindingsError, messageOf, quote } from '../io/errors.ts';
import { parseSize } from '../io/sizes.ts';

export const ARCHITECTURES = ['x86_64', 'aarch64', 'ppc64le', 's390x'] as const;
export const FORMATS = ['iso', 'qcow2', 'vdi', 'raw'] as const;
export type Architecture = (typeof ARCHITECTURES)[number];
export type Format = (typeof FORMATS)[number];

/** What `name`, `version` and roles may hold, because file names, URLs and tags are made of them. */
export const SAFE_NAME = /^[A-Za-z0-9._+-]+$/;

const safeName = z.string().regex(SAFE_NAME, 'takes letters, digits, ".", "_", "+" and "-" only');
const filePath = z.string().min(1, 'takes a path');
const kernelArguments = z.array(z.string().min(1, 'takes a kernel argument'));
const size = z.union([z.string(), z.int()]).transform(String).refine(isSize, 'takes a size such as 60G');
const unique = <T>(items: readonly T[]) => new Set(items).size === items.length;

const ignitionStep = z.strictObject({
  butane: filePath.describe('Butane file, relative to the definition; `{role}` stands for the role'),
  output: filePath.describe('Name under which later Butane files and `live.ignition` find the result'),
});

const definitionSchema = z
  .strictObject({
    name: safeName.default('k4all').describe('First part of every file name'),
    coreos: z
      .strictObject({
        stream: z.string().min(1, 'takes a stream such as stable').default('stable').describe('Fedora CoreOS stream'),
        'stream-url': z
          .string()
          .min(1, 'takes a URL or a path')
          .optional()
          .describe('Where the stream’s JSON is, if not at Fedora’s'),
        release: z.string().min(1, 'takes a release').optional().describe('The release that the stream must have'),
        keyring: z.array(filePath).default([]).describe('Files with OpenPGP keys, trusted beside Fedora’s'),
      })
      .prefault({})
      .describe('Where the base image comes from'),
    architectures: z
      .array(z.enum(ARCHITECTURES))
      .min(1, 'takes at least one architecture')
      .refine(unique, 'takes each architecture once')
      .default(['x86_64']),
    roles: z
      .array(safeName)
      .min(1, 'takes at least one role')
      .refine(unique, 'takes each role once')
      .default(['bootstrap', 'control', 'worker'])
      .describe('Node roles; each gets its own images'),
    ignition: z
      .array(ignitionStep)
      .min(1, 'takes at least one Butane file')
      .default([
        { butane: 'k8s-base.bu', output: 'k8s-base.ign' },
        { butane: 'k8s-{role}.bu', output: 'k8s.ign' },
        { butane: 'install.bu', output: 'install.ign' },
      ])
      .describe('Butane files, compiled in this order; a later one uses an earlier result by its output name'),
    executable: z
      .array(z.string().min(1, 'takes a glob'))
      .default(['install-scripts/**', 'scripts/**'])
      .describe('Globs of files that are executable in the images, whatever their mode in the checkout'),
    live: z
      .strictObject({
        ignition: filePath.default('install.ign').describe('The result that is embedded in the ISO'),
        'kernel-arguments': z
          .strictObject({ append: kernelArguments.default([]).describe('Appended to the ISO’s own') })
          .default({ append: ['coreos.liveiso.fromram'] }),
      })
      .prefault({})
      .describe('What the live system gets'),
    formats: z
      .array(z.enum(FORMATS))
      .min(1, 'takes at least one format')
      .refine(unique, 'takes each format once')
      .optional()
      .describe('Image formats; iso, qcow2 and vdi where nothing is said'),
    'disk-size': size.prefault('60G').describe('Virtual size of the disk images'),
  })
  .describe('What k4all build-iso builds');

/** A build definition with all defaults filled in; `formats` is undefined where nobody asked for any by name. */
export type Definition = z.output<typeof definitionSchema>;

/** The k4all layout, which is built where there is no definition. */
export const defaultDefinition: Definition = definitionSchema.parse({});

/** The JSON Schema that editors complete definitions with. */
export function definitionJsonSchema(): Record<string, unknown> {
  return z.toJSONSchema(definitionSchema, { io: 'input' }) as Record<string, unknown>;
}

/**
 * Reads a definition.
 *
 * @param text YAML
 * @param file where it stands, for messages
 * @throws FindingsError with every mistake at its line and column
 */
export function parseDefinition(text: string, file: string): Definition {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const located = (message: string, offset: number): Finding => {
    const { line, col } = lines.linePos(offset);
    return { severity: 'error', message, location: { file, line, column: col } };
  };
  const syntax = document.errors.map((error) => located(error.message.split(/ at line \d+/)[0] ?? '', error.pos[0]));
  if (syntax.length > 0) throw new FindingsError(`${file} is not valid YAML`, syntax);
  const plain = document.contents === null ? {} : toPlain(document, file);
  const result = definitionSchema.safeParse(plain);
  if (result.success) return result.data;
  const findings = result.error.issues.map((issue) => {
    const { message, path } = explain(issue, plain);
    return located(message, offsetOf(document, path));
  });
  throw new FindingsError(`${file} is not a valid build definition`, findings);
}

function toPlain(document: Document, file: string): unknown {
  try {
    // Aliases that multiply (a "billion laughs") end here.
    return document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const finding = { severity: 'error', message: messageOf(error), location: { file } } as const;
    throw new FindingsError(`${file} is not valid YAML`, [finding]);
  }
}

type Issue = z.core.$ZodIssue;

/** A sentence for a schema issue, and the path of what it is about. */
function explain(issue: Issue, plain: unknown): { message: string; path: PropertyKey[] } {
  const { path } = issue;
  const place = path.length === 0 ? 'the definition' : `"${path.map(String).join('.')}"`;
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys.map(quote).join(', ');
    return {
      message: `${place} has the unknown key ${unknown}; allowed are ${knownKeys(path).join(', ')}`,
      path: [...path, issue.keys[0] ?? ''],
    };
  }
  const value = path.reduce<unknown>((node, key) => (node as Record<PropertyKey, unknown> | undefined)?.[key], plain);
  if (value === undefined) return { message: `${place} is missing`, path };
  return {
    message: `${place} is ${typeof value === 'string' ? quote(value) : shorten(JSON.stringify(value))}, but ${expectation(issue)}`,
    path,
  };
}

function expectation(issue: Issue): string {
  if (issue.code === 'invalid_value') return `takes ${issue.values.map(String).join(', ')}`;
  if (issue.code === 'invalid_type') return `has to be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
  return issue.code === 'invalid_union' ? 'takes a size such as 60G' : issue.message;
}

function shorten(text: string): string {
  return text.length <= 80 ? text : `${text.slice(0, 79)}…`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = { object: 'a mapping', array: 'a list', string: 'a text' };

/** The keys that the JSON Schema allows at a path. */
function knownKeys(path: readonly PropertyKey[]): string[] {
  let node = definitionJsonSchema() as { properties?: Record<string, object>; items?: object };
  for (const key of path) node = (typeof key === 'number' ? node.items : node.properties?.[String(key)]) ?? {};
  return Object.keys(node.properties ?? {});
}

/** Where in the text the value at a path starts: the key for an entry of a mapping, else its closest parent. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true) ?? document.contents;
    const key = path[length - 1];
    const pair = isMap(parent) ? parent.items.find((item) => String(item.key) === String(key)) : undefined;
    const node = (pair?.key ?? document.getIn(path.slice(0, length), true)) as
      | { range?: [number, number, number] }
      | undefined;
    if (node?.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

function isSize(text: string): boolean {
  try {
    return parseSize(text) > 0;
  } catch {
    return false;
  }
}
