import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';

interface Operation {
  parameters?: { $ref?: string; name?: string; in?: string; required?: boolean; schema?: object }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { $ref?: string; content?: Record<string, { schema: object }> }>;
}

interface Slice {
  paths: Record<string, Record<string, Operation>>;
  components: Record<string, Record<string, object>>;
}

const slice = JSON.parse(readFileSync(join(import.meta.dirname, '../data/github-openapi.json'), 'utf8')) as Slice;
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true, coerceTypes: false });
ajv.addSchema({ $id: 'github', components: slice.components });
const compiled = new Map<object, ValidateFunction>();

/** The operation that a request is, with the values of its path's parameters; undefined if the slice has none. */
export function matchOperation(
  method: string,
  path: string,
): { route: string; parameters: Record<string, string> } | undefined {
  // A fixed part goes before a parameter, as in `releases/generate-notes`.
  const routes = Object.keys(slice.paths).sort((a, b) => a.split('{').length - b.split('{').length);
  for (const route of routes) {
    const pattern = route.replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)');
    const match = new RegExp(`^${pattern}$`).exec(path);
    if (match && slice.paths[route]?.[method.toLowerCase()]) {
      const values = Object.entries(match.groups ?? {}).map(([name, value]) => [name, decodeURIComponent(value)]);
      return { route: `${method} ${route}`, parameters: Object.fromEntries(values) };
    }
  }
  return undefined;
}

/** What is wrong with a request: unknown or missing parameters and properties, and values that the schema refuses. */
export function requestViolations(route: string, query: URLSearchParams, body: unknown): string[] {
  const operation = operationOf(route);
  const parameters = (operation.parameters ?? []).map(resolved).filter((parameter) => parameter.in === 'query');
  const names = new Set(parameters.map(({ name }) => name));
  const violations = [...query.keys()].filter((name) => !names.has(name)).map((name) => `unknown parameter ${name}`);
  for (const { name = '', required } of parameters) {
    if (required && !query.has(name)) violations.push(`missing parameter ${name}`);
  }
  const schema = operation.requestBody?.content['application/json']?.schema as { properties?: object } | undefined;
  if (!schema) return violations;
  const known = new Set(Object.keys(schema.properties ?? {}));
  violations.push(
    ...Object.keys(body ?? {})
      .filter((name) => !known.has(name))
      .map((name) => `unknown property ${name}`),
  );
  return [...violations, ...check(schema, body)];
}

/** What is wrong with an answer of the stand-in: it must be one that GitHub could give. */
export function responseViolations(route: string, status: number, body: unknown): string[] {
  const declared = operationOf(route).responses[String(status)];
  if (!declared) return [`status ${status} isn't described`];
  const schema = resolved(declared).content?.['application/json']?.schema;
  return schema ? check(schema, body) : [];
}

function operationOf(route: string): Operation {
  const [method = '', path = ''] = route.split(' ');
  const operation = slice.paths[path]?.[method.toLowerCase()];
  if (!operation) throw new Error(`the slice has no ${route}`);
  return operation;
}

function resolved<T extends { $ref?: string }>(value: T): T {
  if (!value.$ref) return value;
  const [, , section = '', name = ''] = value.$ref.split('/');
  return slice.components[section]?.[name] as T;
}

function check(schema: object, value: unknown): string[] {
  let validate = compiled.get(schema);
  if (!validate) {
    const absolute = JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"github#/')) as object;
    validate = ajv.compile(absolute);
    compiled.set(schema, validate);
  }
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath || 'body'} ${message}`);
}
