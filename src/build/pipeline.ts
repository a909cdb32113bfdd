import { join } from 'node:path';
import type { SecretsPolicy } from '../checks/index.ts';
import { assertSpace, writeImages } from '../disk/index.ts';
import { assertWritable, writeFileAtomic } from '../io/atomic-file.ts';
import type { Finding } from '../io/errors.ts';
import { sha256 } from '../io/hash.ts';
import type { Progress } from '../io/progress.ts';
import { parseSize } from '../io/sizes.ts';
import { together } from '../io/threads.ts';
import { areaMeter } from '../iso/index.ts';
import { type Base, type BaseContents, formatsOf, openBase, readBase } from './bases.ts';
import { type BaseRecord, type BuildRecord, buildInfo, checksumsText, type ImageRecord } from './build-info.ts';
import { checkConfigs, isEmpty } from './checks.ts';
import { type Compilation, compileInThread } from './compile.ts';
import type { Architecture, Definition } from './definition.ts';
import { type LaidOutImage, layOutImages, type RoleIso, roleIsos, verifyImage } from './images.ts';
import { type CoreosSource, coreosSource, type LoadedDefinition, loadDefinition, type Overrides } from './load.ts';
import { type PlannedImage, planCompilation, planImages } from './plan.ts';
import { buildSummary, planLines } from './report.ts';

/** What is to be built; paths are absolute. */
export interface BuildRequest {
  readonly workspace: string;
  /** The definition's file; `k4all.yaml` of the workspace, if there is one, where it isn't given. */
  readonly definition?: string | undefined;
  readonly overrides: Overrides;
  readonly version: string;
  /** Whether `baseIso` only names files that are there. */
  readonly basesAtHand: boolean;
  /** Provides the live ISO of an architecture. */
  readonly baseIso: (architecture: Architecture, coreos: CoreosSource) => Promise<string>;
  readonly outputDir: string;
  readonly secrets: SecretsPolicy;
  readonly force: boolean;
}

/** Whom a build talks to. */
export interface BuildLog {
  readonly signal: AbortSignal;
  info(message: string): void;
  warning(message: string): void;
  report(finding: Finding): void;
  group<T>(title: string, work: () => Promise<T>): Promise<T>;
  progress(label: string, total?: number): Progress & Disposable;
  summary(markdown: string): Promise<void>;
}

export interface BuildResult {
  readonly name: string;
  /** Paths are relative to the output folder. */
  readonly images: readonly ImageRecord[];
  readonly bases: readonly BaseRecord[];
}

export const CHECKSUMS = 'SHA256SUMS';
export const BUILD_INFO = 'build-info.json';

/**
 * Runs a whole build. Everything is planned, compiled and checked before the first output is written, and the images get
 * their names together, when the last one is complete.
 *
 * @throws FindingsError for what is wrong in Butane files or the definition, Error for anything else
 */
export async function build(request: BuildRequest, log: BuildLog): Promise<BuildResult> {
  const loaded = await loadDefinition(request.workspace, request.definition, request.overrides);
  // A mistake in a Butane file is told before anything is fetched; bases that are at hand are read while Butane runs.
  const early = request.basesAtHand ? undefined : await compile(loaded, request, log, log.signal);
  await using bases = await openBases(loaded, request, log);
  const planned = await planOutputs(loaded.definition, bases.list, request, log);
  const [compilation, contents] = await together(log.signal, (signal) => [
    early ? Promise.resolve(early) : compile(loaded, request, log, signal),
    readBases(bases.list, planned, log, signal),
  ]);
  const images = await layOut(loaded.definition, compilation, planned, contents, request, log);
  const records = await log.group('Write the images', () => write(images, request, log));
  const record: BuildRecord = {
    name: loaded.definition.name,
    version: request.version,
    butaneVersion: compilation.butaneVersion,
    diskSize: parseSize(loaded.definition['disk-size']),
    kernelArguments: loaded.definition.live['kernel-arguments'].append,
    bases: bases.list.map((base) => baseRecord(base, contents.get(base)?.sha256 ?? '')),
    inputs: compilation.inputs,
    roles: compilation.roles.map(({ role, live }) => ({ role, 'live-ignition-sha256': sha256(live) })),
    images: records,
  };
  await writeFileAtomic(join(request.outputDir, CHECKSUMS), checksumsText(records), { force: request.force });
  await writeFileAtomic(join(request.outputDir, BUILD_INFO), buildInfo(record), { force: request.force });
  const isos = [...new Set(images.map(({ iso }) => iso))];
  await log.summary(buildSummary(`${record.name} ${record.version}`, records, isos.map(areaRecord)));
  return { name: record.name, images: records, bases: record.bases };
}

async function compile(
  { definition, folder }: LoadedDefinition,
  { workspace }: BuildRequest,
  log: BuildLog,
  signal: AbortSignal,
): Promise<Compilation> {
  const executable = definition.executable.map((glob) => (folder === '.' ? glob : `${folder}/${glob}`));
  const plan = planCompilation(definition, folder);
  return log.group('Compile the Butane files', async () => {
    const compilation = await compileInThread({ plan, workspace, executable }, signal);
    compilation.findings.forEach(log.report);
    for (const { role, live } of compilation.roles) log.info(`${role}: ${live.length} bytes of Ignition`);
    return compilation;
  });
}

/** Names the outputs, and checks that they may be written. */
async function planOutputs(
  definition: Definition,
  bases: readonly Base[],
  { version, outputDir, force }: BuildRequest,
  log: BuildLog,
): Promise<PlannedImage[]> {
  const formats = new Map(bases.map((base) => [base.architecture, formatsOf(base, definition.formats, log.warning)]));
  const planned = planImages(definition, version, (architecture) => formats.get(architecture) ?? []);
  const names = [...planned.map(({ fileName }) => fileName), CHECKSUMS, BUILD_INFO];
  for (const path of names.map((name) => join(outputDir, name))) {
    if (bases.some(({ file }) => file.path === path)) {
      throw new Error(`"base-iso" and an output are the same file, ${path}: choose another "output-dir" or "name"`);
    }
    await assertWritable(path, force);
  }
  return planned;
}

async function readBases(
  bases: readonly Base[],
  planned: readonly PlannedImage[],
  log: BuildLog,
  signal: AbortSignal,
): Promise<Map<Base, BaseContents>> {
  using progress = log.progress(
    'read the base image',
    bases.reduce((sum, { file }) => sum + file.size, 0),
  );
  const contents = new Map<Base, BaseContents>();
  for (const base of bases) {
    const images = planned.filter(({ architecture }) => architecture === base.architecture);
    contents.set(base, await readBase(base, images, { signal, progress }));
  }
  return contents;
}

/** Checks all that can be checked before writing, and shows the plan. */
async function layOut(
  definition: Definition,
  { roles }: Compilation,
  planned: readonly PlannedImage[],
  contents: ReadonlyMap<Base, BaseContents>,
  { outputDir, secrets, force }: BuildRequest,
  log: BuildLog,
): Promise<LaidOutImage[]> {
  const bases = [...contents.keys()];
  for (const message of checkConfigs(roles, bases, secrets)) log.warning(message);
  for (const config of roles.filter(isEmpty)) {
    log.warning(`role ${config.role}: the live config is empty and is not embedded`);
  }
  const kernelArguments = definition.live['kernel-arguments'].append;
  const isos = await roleIsos(roles, bases, { kernelArguments, force });
  const diskSize = parseSize(definition['disk-size']);
  const images = await layOutImages(planned, isos, { diskSize, contents, signal: log.signal });
  await assertSpace(
    outputDir,
    images.map(({ image }) => image),
  );
  await log.group(`Plan: ${images.length} images`, async () => showPlan(planned, isos, log));
  return images;
}

function showPlan(planned: readonly PlannedImage[], isos: readonly RoleIso[], log: BuildLog): void {
  for (const line of planLines(planned)) log.info(line);
  for (const { role, base, area } of isos) log.info(`${role} on ${base.architecture}: ${areaMeter(area)}`);
}

async function write(
  images: readonly LaidOutImage[],
  { outputDir, force }: BuildRequest,
  { signal, progress: show }: BuildLog,
): Promise<ImageRecord[]> {
  using progress = show('write');
  const outputs = images.map((laidOut) => ({
    image: laidOut.image,
    path: join(outputDir, laidOut.fileName),
    verify: (path: string) => verifyImage(path, laidOut),
  }));
  const written = await writeImages(outputs, { force, signal, progress });
  return images.map(({ role, architecture, format, fileName }, i) => {
    const { size = 0, sha256: digest = '' } = written[i] ?? {};
    return { role, architecture, format, path: fileName, size, sha256: digest };
  });
}

/** Opens the base of every architecture; they are closed together. */
async function openBases(
  loaded: LoadedDefinition,
  request: BuildRequest,
  log: BuildLog,
): Promise<{ list: readonly Base[] } & AsyncDisposable> {
  const list: Base[] = [];
  const close = async () => {
    for (const { file } of list) await file[Symbol.asyncDispose]();
  };
  try {
    const coreos = coreosSource(loaded, request.workspace);
    for (const architecture of loaded.definition.architectures) {
      const path = await request.baseIso(architecture, coreos);
      const base = await openBase(path, architecture);
      list.push(base);
      log.info(`${architecture}: ${base.name}, release ${base.iso.coreosRelease || 'unknown'}`);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { list, [Symbol.asyncDispose]: close };
}

function baseRecord({ architecture, iso, name, file }: Base, digest: string): BaseRecord {
  return { architecture, name, release: iso.coreosRelease, size: file.size, sha256: digest };
}

function areaRecord({ role, base, area }: RoleIso) {
  return { role, architecture: base.architecture, used: area.used, size: area.size };
}
