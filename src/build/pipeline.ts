import { join } from 'node:path';
import type { SecretsPolicy } from '../checks/index.ts';
import { assertSpace, fileImage, writeImages } from '../disk/index.ts';
import { assertWritable, writeFileAtomic } from '../io/atomic-file.ts';
import type { Finding } from '../io/errors.ts';
import { sha256 } from '../io/hash.ts';
import type { Progress } from '../io/progress.ts';
import { parseSize } from '../io/sizes.ts';
import { areaMeter } from '../iso/index.ts';
import { type Base, formatsOf, openBase } from './bases.ts';
import { type BaseRecord, type BuildRecord, buildInfo, checksumsText, type ImageRecord } from './build-info.ts';
import { checkConfigs, isEmpty } from './checks.ts';
import { type Compilation, compileRoles } from './compile.ts';
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
  const compilation = await log.group('Compile the Butane files', () => compile(loaded, request, log));
  await using bases = await openBases(loaded, request, log);
  const images = await plan(loaded.definition, compilation, bases.list, request, log);
  const { records, digests } = await log.group('Write the images', () => write(images, bases.list, request, log));
  const record: BuildRecord = {
    name: loaded.definition.name,
    version: request.version,
    butaneVersion: compilation.butaneVersion,
    diskSize: parseSize(loaded.definition['disk-size']),
    kernelArguments: loaded.definition.live['kernel-arguments'].append,
    bases: bases.list.map((base, i) => baseRecord(base, digests[i] ?? '')),
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
  request: BuildRequest,
  log: BuildLog,
): Promise<Compilation> {
  const executable = definition.executable.map((glob) => (folder === '.' ? glob : `${folder}/${glob}`));
  const compilation = await compileRoles(planCompilation(definition, folder), {
    workspace: request.workspace,
    executable,
  });
  compilation.findings.forEach(log.report);
  for (const { role, live } of compilation.roles) log.info(`${role}: ${live.length} bytes of Ignition`);
  return compilation;
}

/** Checks all that can be checked before writing, and shows the plan. */
async function plan(
  definition: Definition,
  compilation: Compilation,
  bases: readonly Base[],
  request: BuildRequest,
  log: BuildLog,
): Promise<LaidOutImage[]> {
  const { outputDir, force } = request;
  const formats = new Map(bases.map((base) => [base.architecture, formatsOf(base, definition.formats, log.warning)]));
  const planned = planImages(definition, request.version, (architecture) => formats.get(architecture) ?? []);
  const names = [...planned.map(({ fileName }) => fileName), CHECKSUMS, BUILD_INFO];
  for (const path of names.map((name) => join(outputDir, name))) {
    if (bases.some(({ file }) => file.path === path)) {
      throw new Error(`"base-iso" and an output are the same file, ${path}: choose another "output-dir" or "name"`);
    }
    await assertWritable(path, force);
  }
  for (const message of checkConfigs(compilation.roles, bases, request.secrets)) log.warning(message);
  for (const config of compilation.roles.filter(isEmpty)) {
    log.warning(`role ${config.role}: the live config is empty and is not embedded`);
  }
  const kernelArguments = definition.live['kernel-arguments'].append;
  const isos = await roleIsos(compilation.roles, bases, { kernelArguments, force });
  using progress = log.progress('read the base image');
  const diskSize = parseSize(definition['disk-size']);
  const images = await layOutImages(planned, isos, { diskSize, signal: log.signal, progress });
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
  bases: readonly Base[],
  { outputDir, force }: BuildRequest,
  log: BuildLog,
): Promise<{ records: ImageRecord[]; digests: readonly string[] }> {
  using progress = log.progress('write', undefined);
  const { signal } = log;
  const outputs = images.map((laidOut) => ({
    image: laidOut.image,
    path: join(outputDir, laidOut.fileName),
    verify: (path: string) => verifyImage(path, laidOut),
  }));
  // The bases are hashed on the way, while their bytes are in memory anyway.
  const hashed = bases.map(({ file }) => ({ image: fileImage(file) }));
  const written = await writeImages([...outputs, ...hashed], { force, signal, progress });
  const digests = written.slice(outputs.length).map((base) => base.sha256);
  const records = images.map(({ role, architecture, format, fileName }, i) => {
    const { size = 0, sha256: digest = '' } = written[i] ?? {};
    return { role, architecture, format, path: fileName, size, sha256: digest };
  });
  return { records, digests };
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
