import { isObject } from './json.ts';

/** Whether an Ignition config has nothing in it but a version; empty objects, empty arrays and null count as nothing. */
export function isEmptyConfig(config: unknown): boolean {
  if (!isObject(config)) return holdsNothing(config);
  const { ignition, ...sections } = config;
  const { version: _version, ...settings } = isObject(ignition) ? ignition : { ignition };
  return [...Object.values(settings), ...Object.values(sections)].every(holdsNothing);
}

/** Looks at the values one by one instead of recursing, so that no depth is too deep. */
function holdsNothing(value: unknown): boolean {
  const seen = new Set<unknown>();
  const waiting = [value];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (next === null || next === undefined || seen.has(next)) continue;
    if (typeof next !== 'object') return false;
    seen.add(next);
    for (const part of Object.values(next)) waiting.push(part);
  }
  return true;
}
