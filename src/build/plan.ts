import { posix } from 'node:path';
import { quote } from '../io/errors.ts';
import { type Architecture, type Definition, type Format, SAFE_NAME } from './definition.ts';

/** One Butane compilation; all paths are relative to the workspace, with `/`. */
export interface CompileStep {
  readonly butane: string;
  readonly output: string;
}

/** What is compiled: `shared` once, then `steps` on top of it for each role. */
export interface CompilePlan {
  readonly shared: readonly CompileStep[];
  readonly roles: readonly { readonly role: string; readonly steps: readonly CompileStep[] }[];
  /** The output that is embedded as the live config. */
  readonly live: string;
}

/** One image to build. */
export interface PlannedImage {
  readonly role: string;
  readonly architecture: Architecture;
  readonly format: Format;
  /** `<name>-<role>-<version>-<architecture>.<format>` */
  readonly fileName: string;
}

const ROLE = '{role}';

/**
 * Orders the compilations of a definition. A step belongs to a role as soon as it, or one before it, names the role; the
 * steps before that are the same for all roles and are compiled once.
 *
 * @param folder the definition's folder, relative to the workspace, with `/`
 * @throws Error for a path that leaves the workspace, an output that is made twice, or a live config that no step makes
 */
export function planCompilation(definition: Definition, folder: string): CompilePlan {
  const steps = definition.ignition;
  const firstOfRole = steps.findIndex(({ butane, output }) => `${butane}${output}`.includes(ROLE));
  const sharedCount = firstOfRole === -1 ? steps.length : firstOfRole;
  const resolveStep = (step: CompileStep, role: string): CompileStep => ({
    butane: insideWorkspace(folder, step.butane.replaceAll(ROLE, role)),
    output: insideWorkspace(folder, step.output.replaceAll(ROLE, role)),
  });
  const shared = steps.slice(0, sharedCount).map((step) => resolveStep(step, ''));
  const roles = definition.roles.map((role) => {
    const own = steps.slice(sharedCount).map((step) => resolveStep(step, role));
    assertUnique([...shared, ...own].map((step) => step.output));
    return { role, steps: own };
  });
  const live = insideWorkspace(folder, definition.live.ignition);
  if (![...shared, ...(roles[0]?.steps ?? [])].some(({ output }) => output === live)) {
    const outputs = steps.map(({ output }) => output).join(', ');
    throw new Error(`"live.ignition" is ${quote(definition.live.ignition)}, but the outputs are ${outputs}`);
  }
  return { shared, roles, live };
}

/** Every image of a build: role by role, so that what belongs together is written together. */
export function planImages(
  definition: Pick<Definition, 'name' | 'roles' | 'architectures'>,
  version: string,
  formatsOf: (architecture: Architecture) => readonly Format[],
): PlannedImage[] {
  if (!SAFE_NAME.test(version)) {
    throw new Error(`the version ${quote(version)} holds more than letters, digits, ".", "_", "+" and "-"`);
  }
  return definition.roles.flatMap((role) =>
    definition.architectures.flatMap((architecture) =>
      formatsOf(architecture).map((format) => {
        const fileName = `${definition.name}-${role}-${version}-${architecture}.${format}`;
        return { role, architecture, format, fileName };
      }),
    ),
  );
}

/**
 * A path of a definition, relative to the workspace.
 *
 * @throws Error if it is absolute or leaves the workspace
 */
export function insideWorkspace(folder: string, path: string): string {
  const portable = path.replaceAll('\\', '/');
  const joined = posix.join(folder, portable);
  const absolute = posix.isAbsolute(portable) || /^[A-Za-z]:/.test(portable);
  if (absolute || joined === '..' || joined.startsWith('../')) {
    throw new Error(`the path ${quote(path)} leaves the workspace: paths in a definition are relative and stay inside`);
  }
  return joined;
}

function assertUnique(outputs: readonly string[]): void {
  const twice = outputs.find((output, index) => outputs.indexOf(output) !== index);
  if (twice) throw new Error(`the output ${quote(twice)} is made by two steps: give each its own name`);
}
