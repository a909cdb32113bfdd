import type { Host } from '../host/host.ts';

/** An input as it is declared: from it come the parser, `action.yml`, the docs table and the help. */
export type InputDeclaration = {
  /** One or two sentences, in Markdown, without the default. */
  readonly description: string;
  readonly required?: boolean;
  /** A default that the command works out for itself; told to people, not set by the parser. */
  readonly defaultText?: string;
  /** What `action.yml` sets if the workflow doesn't, as `${{ github.token }}`; the command line knows nothing of it. */
  readonly actionDefault?: string;
  /** Offered on the command line only; not an input of the action. */
  readonly cliOnly?: boolean;
} & (
  | { readonly type: 'string' | 'path' | 'secret'; readonly default?: string }
  /** A size in bytes, written as in `60G`. */
  | { readonly type: 'size'; readonly default?: string }
  | { readonly type: 'integer'; readonly default?: number; readonly minimum?: number }
  /** Undefined only where a `defaultText` says what happens then. */
  | { readonly type: 'boolean'; readonly default?: boolean }
  | { readonly type: 'choice'; readonly choices: readonly string[]; readonly default?: string }
  /** Several values: the option repeated, or separated by commas or newlines. */
  | { readonly type: 'list'; readonly default?: readonly string[] }
  /** As `list`, of the choices only, without repetitions. */
  | { readonly type: 'choices'; readonly choices: readonly string[]; readonly default?: readonly string[] }
  /** Several values that may hold commas: the option repeated, or one per line. */
  | { readonly type: 'lines'; readonly default?: readonly string[] }
  /** A fixed number of values behind one option, as in `--extract REF DIR`; `cliOnly`. */
  | { readonly type: 'tuple'; readonly placeholders: readonly string[]; readonly cliOnly: true }
);

export type Inputs = Readonly<Record<string, InputDeclaration>>;

type Value<I extends InputDeclaration> = I['type'] extends 'list' | 'lines'
  ? readonly string[]
  : I extends { choices: readonly (infer C)[]; type: 'choices' }
    ? I extends { default: unknown }
      ? readonly C[]
      : readonly C[] | undefined
    : I extends { type: 'tuple' }
      ? readonly string[] | undefined
      : I extends { default: unknown } | { required: true }
        ? Scalar<I>
        : Scalar<I> | undefined;

type Scalar<I extends InputDeclaration> = I['type'] extends 'boolean'
  ? boolean
  : I['type'] extends 'size' | 'integer'
    ? number
    : I extends { choices: readonly (infer C)[] }
      ? C
      : string;

/** What `run` gets: every declared input, parsed and checked. Lists are empty, other inputs undefined if not given. */
export type InputValues<I extends Inputs> = { readonly [K in keyof I]: Value<I[K]> };

export type OutputDeclaration = {
  readonly description: string;
  /**
   * `list`: one item per line in an action, an array in `--json`; `json`: any JSON value; `keyed`: one text or number,
   * or where there are several an object, which an action gets as JSON.
   */
  readonly type: 'string' | 'number' | 'boolean' | 'list' | 'json' | 'keyed';
};

export type Outputs = Readonly<Record<string, OutputDeclaration>>;

export type OutputValue<T extends OutputDeclaration['type']> = {
  /** null: there is none; in an action the output is empty then. */
  string: string | null;
  number: number;
  boolean: boolean;
  list: readonly string[];
  json: unknown;
  keyed: string | number | Readonly<Record<string, string | number>>;
}[T];

/** What `run` returns: a value for every declared output. */
export type OutputValues<O extends Outputs> = { readonly [K in keyof O]: OutputValue<O[K]['type']> };

/**
 * A command: one declaration that is an action (`actions/<name>`) and a subcommand (`k4all <name>`) at the same time.
 */
export interface Command<I extends Inputs = Inputs, O extends Outputs = Outputs> {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** A few sentences in Markdown for the docs and the help. */
  readonly description: string;
  readonly inputs: I;
  readonly outputs: O;
  /** The least job permissions, with the reason for each. */
  readonly permissions?: Readonly<Record<string, string>>;
  /** Marketplace icon (Feather) and colour. */
  readonly branding?: { readonly icon: string; readonly color: string };
  /**
   * Does the work. Messages and progress go to `host`, results are returned.
   *
   * @throws UsageError where the inputs alone are wrong, FindingsError for errors with a place, Error otherwise
   */
  run(inputs: InputValues<I>, host: Host): Promise<OutputValues<O>>;
  /** What a person sees on stdout instead of the table of outputs. */
  present?(outputs: OutputValues<O>): string;
}

/** Declares a command with its types inferred. */
export function defineCommand<const I extends Inputs, const O extends Outputs>(command: Command<I, O>): Command<I, O> {
  return command;
}

/** A failure of a command that has outputs all the same: they are set before the failure is reported. */
export class FailureWithOutputs extends Error {
  override name = 'FailureWithOutputs';
  readonly outputs: Readonly<Record<string, unknown>>;

  constructor(message: string, outputs: Readonly<Record<string, unknown>>) {
    super(message);
    this.outputs = outputs;
  }
}
