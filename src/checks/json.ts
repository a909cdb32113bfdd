export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `value[key]` of an object, undefined of anything else; never what an object inherits. */
export function member(value: unknown, ...keys: string[]): unknown {
  return keys.reduce<unknown>((at, key) => (isObject(at) && Object.hasOwn(at, key) ? at[key] : undefined), value);
}

/** The Ignition config that `text` is, undefined if it is something else. */
export function parseIgnition(text: string): JsonObject | undefined {
  if (!text.trimStart().startsWith('{') || !text.includes('"ignition"')) return undefined;
  try {
    const config: unknown = JSON.parse(text);
    return isObject(config) && typeof member(config, 'ignition', 'version') === 'string' ? config : undefined;
  } catch {
    return undefined;
  }
}
