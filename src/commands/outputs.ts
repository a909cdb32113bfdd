import { formatSize } from '../io/sizes.ts';
import type { Command, OutputDeclaration, Outputs, OutputValues } from './command.ts';

/** An output as the text that an action sets: lists one item per line, JSON outputs as JSON. */
export function outputText(type: OutputDeclaration['type'], value: unknown): string {
  if (type === 'list') return (value as readonly string[]).join('\n');
  if (type === 'json' || (type === 'keyed' && typeof value === 'object')) return JSON.stringify(value);
  return value === null ? '' : String(value);
}

/** What a person reads on stdout: the command's own rendering, else a table of the outputs. */
export function presentOutputs<O extends Outputs>(
  command: Pick<Command, 'outputs' | 'present'>,
  values: OutputValues<O>,
): string {
  if (command.present) return command.present(values);
  const rows = Object.entries(command.outputs).map(([name, { type }]) => {
    const value = values[name];
    if (isFileList(value)) return [name, `\n${fileTable(value)}`];
    return [name, type === 'list' ? (value as readonly string[]).join(', ') : outputText(type, value)];
  });
  return renderTable(rows);
}

/** A file in an output, as the contract lists them. */
export interface OutputFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly format?: string;
}

/** One line per file with size and digest. */
export function fileTable(files: readonly OutputFile[]): string {
  return renderTable(files.map((file) => [file.path, formatSize(file.size), file.sha256]));
}

/** Columns padded to their widest cell, two spaces apart. */
export function renderTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      const width = cell.includes('\n') ? 0 : cell.length;
      widths[column] = Math.max(widths[column] ?? 0, width);
    });
  }
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function isFileList(value: unknown): value is readonly OutputFile[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((item) => typeof item?.path === 'string' && 'sha256' in item)
  );
}
