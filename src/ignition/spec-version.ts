/**
 * The Ignition spec version of what Butane made: an Ignition config (JSON), or a MachineConfig (YAML) that holds one.
 *
 * @throws Error if it is neither
 */
export function specVersion(ignition: Uint8Array | string): string {
  const text = typeof ignition === 'string' ? ignition : new TextDecoder().decode(ignition);
  const version = ofIgnition(text) ?? ofMachineConfig(text);
  if (version !== undefined) return version;
  throw new Error('this is no Ignition config: it has no "ignition.version"');
}

function ofIgnition(text: string): string | undefined {
  try {
    const version: unknown = JSON.parse(text)?.ignition?.version;
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined;
  }
}

/** `spec.config.ignition.version`, as Butane indents it. */
function ofMachineConfig(text: string): string | undefined {
  return /^ {4}ignition:\n(?: {6,}.*\n)*? {6}version: "?([^\s"]+)/m.exec(text)?.[1];
}
