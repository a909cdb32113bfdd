import { basename, dirname, extname, join, resolve } from 'node:path';
import { AtomicFile, writeFileAtomic } from '../io/atomic-file.ts';
import { messageOf, quote } from '../io/errors.ts';
import { ConsoleWatch } from './console-watch.ts';
import type { Environment } from './find-program.ts';
import { detectImage, type ImageKind } from './image-format.ts';
import { chooseAccelerator } from './kvm.ts';
import { Machine, type MachineEnd } from './machine.ts';
import { findQemu, findUefi } from './qemu.ts';
import type { Accelerator, Attachment, ExtraDisk, UefiFlash } from './qemu-arguments.ts';

/** The console is looked at this often (milliseconds), not at each of its bytes. */
const LOOK_INTERVAL = 50;
/** A guest that never stops talking must not fill the disk. */
const LOG_LIMIT = 64 * 1024 ** 2;

/** What a live system or an installed one shows when it is up. */
export const DEFAULT_EXPECT = /\blogin: |Reached target \S*(?:multi-user|graphical)/im;

export interface BootTestOptions {
  /** Path of an ISO, or of a raw, QCOW2 or VDI image. It is never written to. */
  readonly image: string;
  readonly attach?: Attachment;
  readonly firmware?: 'bios' | 'uefi';
  /** Seen on the serial console, the boot has passed. */
  readonly expect?: RegExp;
  /** Seen on the serial console, the boot has failed; beside the built-in patterns. */
  readonly failOn?: readonly RegExp[];
  /** Seconds. */
  readonly timeout?: number;
  /** MiB. */
  readonly memory?: number;
  readonly accelerator?: 'auto' | Accelerator;
  /** Whether /dev/kvm may be opened by sudo. */
  readonly openKvm?: boolean;
  /** Takes `<stem>.serial.log` and `<stem>.png`; those of an earlier run are replaced. */
  readonly outputDir: string;
  /** Further disks of the machine; these are written to. */
  readonly disks?: readonly ExtraDisk[];
  readonly env?: Environment;
  readonly signal?: AbortSignal;
  /** Gets a sentence per thing worth knowing. */
  readonly notify?: (severity: 'info' | 'warning', message: string) => void;
}

export interface BootTestResult {
  readonly verdict: 'passed' | 'failed';
  /** One line; untrusted text from the console is quoted. */
  readonly reason: string;
  /** From QEMU's start to the verdict. */
  readonly seconds: number;
  readonly serialLog: string;
  /** Undefined where QEMU ended before a screenshot could be taken. */
  readonly screenshot: string | undefined;
  readonly accelerator: Accelerator;
  /** The console's last lines, without terminal escapes. */
  readonly tail: readonly string[];
}

/**
 * Boots an image in QEMU and judges its serial console. A failed boot is a result; what prevents the test is an error.
 *
 * @throws Error if the image can't be read, QEMU or the firmware is missing, or `kvm` is asked for and not usable
 */
export async function bootTest(options: BootTestOptions): Promise<BootTestResult> {
  const { signal, env = process.env, notify = () => {}, attach = 'disk' } = options;
  const paths = outputPaths(options.image, options.outputDir, options.disks ?? []);
  const qemu = await findQemu(env);
  const kind = await detectImage(options.image);
  if (attach === 'disk' && !kind.bootSector) {
    notify('warning', `${options.image} has no boot sector: as a disk it won't boot${kind.iso ? '; try cdrom' : ''}`);
  }
  const uefi = options.firmware === 'uefi' ? await findUefi(qemu) : undefined;
  const choice = await chooseAccelerator(options.accelerator ?? 'auto', {
    ...{ qemu, env, signal },
    openDevice: options.openKvm ?? false,
  });
  if (choice.why) notify('info', `booting with emulation, which is slow: ${choice.why}`);
  const boot = (accelerator: Accelerator) => bootOnce({ qemu, format: kind.format, uefi, accelerator, paths }, options);
  const attempt = await boot(choice.accelerator);
  const broken = brokenKvm(attempt);
  if (broken === undefined || options.accelerator === 'kvm') return attempt.result;
  notify('info', `booting again with emulation, which is slow: KVM gave up on the guest (${broken})`);
  return (await boot('tcg')).result;
}

/** What stays the same for a boot, once it is found. */
interface Setup {
  readonly qemu: string;
  readonly format: ImageKind['format'];
  readonly uefi: UefiFlash | undefined;
  readonly accelerator: Accelerator;
  readonly paths: { readonly serialLog: string; readonly screenshot: string };
}

interface Attempt {
  readonly result: BootTestResult;
  readonly stop: Stop;
}

async function bootOnce(setup: Setup, options: BootTestOptions): Promise<Attempt> {
  const { qemu, accelerator, paths, format, uefi } = setup;
  const { signal, env = process.env, notify = () => {}, attach = 'disk', timeout = 300, memory = 2048 } = options;
  const watch = new ConsoleWatch(options.expect ?? DEFAULT_EXPECT, options.failOn ?? []);
  await using log = await SerialLog.create(paths.serialLog);
  const started = performance.now();
  await using machine = await Machine.start({
    ...{ qemu, env },
    machine: { image: resolve(options.image), disks: options.disks, format, attach, uefi, accelerator, memory },
    onConsole: (bytes) => log.write(watch.feed(bytes)),
    onBios: (bytes) => watch.feedBios(bytes),
  });
  const stop = await whatStops(machine, watch, timeout, signal);
  const seconds = Math.round((performance.now() - started) / 100) / 10;
  const screenshot = await takeScreenshot(machine, paths.screenshot, notify);
  await machine.stop();
  // What came until QEMU ended belongs to the same output: a failure in it wins.
  watch.look();
  await log.commit();
  const result = { ...judge(watch, stop, timeout), seconds, ...paths, screenshot, accelerator, tail: watch.tail(20) };
  return { result, stop };
}

/**
 * Whether KVM is to blame: it runs simple guests on some machines (nested virtualisation can be like that), and meets an
 * instruction later that it can't carry out.
 */
function brokenKvm({ result, stop }: Attempt): string | undefined {
  const stopped = typeof stop === 'object' && stop.how === 'stop';
  return stopped && result.accelerator === 'kvm' ? stop.detail : undefined;
}

type Stop = 'decided' | 'timeout' | MachineEnd;

/** Waits for the console to decide, the machine to end, or the time to run out. @throws the signal's reason */
async function whatStops(
  machine: Machine,
  watch: ConsoleWatch,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<Stop> {
  const first = Promise.withResolvers<Stop>();
  const interrupt = () => first.reject(signal?.reason);
  const looks = setInterval(() => watch.look() && first.resolve('decided'), LOOK_INTERVAL);
  const end = setTimeout(() => first.resolve('timeout'), timeout * 1000);
  signal?.addEventListener('abort', interrupt);
  if (signal?.aborted) interrupt();
  machine.ended.then(first.resolve);
  try {
    return await first.promise;
  } finally {
    clearInterval(looks);
    clearTimeout(end);
    signal?.removeEventListener('abort', interrupt);
  }
}

function judge(watch: ConsoleWatch, stop: Stop, timeout: number): Pick<BootTestResult, 'verdict' | 'reason'> {
  if (watch.failure !== undefined) return { verdict: 'failed', reason: watch.failure };
  if (watch.seen !== undefined) return { verdict: 'passed', reason: `the console shows ${quote(watch.seen)}` };
  return { verdict: 'failed', reason: withoutVerdict(stop, timeout, lastWords(watch)) };
}

function withoutVerdict(stop: Stop, timeout: number, lastWords: string): string {
  if (typeof stop === 'string') return `timeout: "expect" was not seen within ${timeout} s; ${lastWords}`;
  if (stop.how === 'power-off') return `power-off before "expect" was seen; ${lastWords}`;
  if (stop.how === 'stop') return `QEMU stopped the machine before "expect" was seen: ${quote(stop.detail)}`;
  return `QEMU ended before "expect" was seen: ${quote(stop.detail)}`;
}

function lastWords(watch: ConsoleWatch): string {
  const [line] = watch.tail(1);
  if (line !== undefined) return `the console's last line is ${quote(line.trim())}`;
  return 'the serial console stayed empty (a system writes there if console=ttyS0 is among its kernel arguments)';
}

async function takeScreenshot(
  machine: Machine,
  path: string,
  notify: NonNullable<BootTestOptions['notify']>,
): Promise<string | undefined> {
  try {
    await writeFileAtomic(path, await machine.screenshot(), { force: true });
    return path;
  } catch (error) {
    notify('warning', `there is no screenshot: ${messageOf(error)}`);
    return undefined;
  }
}

/** @throws Error if an output is an input */
function outputPaths(image: string, outputDir: string, disks: readonly ExtraDisk[]) {
  const stem = basename(image, extname(image));
  const paths = { serialLog: join(outputDir, `${stem}.serial.log`), screenshot: join(outputDir, `${stem}.png`) };
  const inputs = [image, ...disks.map(({ path }) => path)].map((path) => resolve(path));
  for (const path of Object.values(paths)) {
    if (!inputs.includes(resolve(path))) continue;
    throw new Error(`${path} would be replaced by an output: give another "output-dir" than ${dirname(path)}`);
  }
  return paths;
}

/** The console's text as a file, up to a limit. */
class SerialLog implements AsyncDisposable {
  readonly #file: AtomicFile;
  #pending: Promise<unknown> = Promise.resolve();
  #length = 0;

  private constructor(file: AtomicFile) {
    this.#file = file;
  }

  static async create(path: string): Promise<SerialLog> {
    return new SerialLog(await AtomicFile.create(path, { force: true }));
  }

  write(text: string): void {
    if (this.#length > LOG_LIMIT) return;
    this.#length += text.length;
    const shown = this.#length > LOG_LIMIT ? `${text}\n[the log ends here: ${LOG_LIMIT} characters]\n` : text;
    this.#pending = this.#pending.then(() => this.#file.handle.write(shown));
    // Told by `commit`.
    this.#pending.catch(() => {});
  }

  async commit(): Promise<void> {
    await this.#pending;
    await this.#file.commit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pending.catch(() => {});
    await this.#file[Symbol.asyncDispose]();
  }
}
