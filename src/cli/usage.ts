// What all commands share: how they are called, and what a wrong call is answered with.
import type { ParseArgsConfig } from 'node:util';
import { parseArgs } from 'node:util';
import { suggest } from '../config/suggest.js';

/** Exit codes: a failure of the work, and a call that makes no sense. */
export const FAILURE = 1;
export const USAGE = 2;

export interface Command {
  /** The whole text of `--help`. */
  readonly help: string;
  /** Where its first argument picks one of several, these: they have help of their own. */
  readonly commands?: readonly ListedCommand[];
  /** Whether, beside these, it takes arguments of its own. */
  readonly takesArguments?: boolean;
  /** Arguments after the command's name; returns the exit code. May throw a UsageError. */
  run(args: readonly string[]): Promise<number>;
}

/** A command as lists have it. What it needs is loaded with it, so that a proxy does not hold what others need. */
export interface ListedCommand {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  load(): Promise<Command>;
}

/** The lines of a list of commands. */
export const summaries = (commands: readonly ListedCommand[]): string =>
  commands.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join('\n');

/** A wrong call: exit code 2, with a pointer to the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The command whose help is pointed at; empty: the one that was called. */
  topic = '';
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

export const complain = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

type Options = NonNullable<ParseArgsConfig['options']>;

export interface Arguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
  /** Of options that may be given more than once: each by itself. */
  readonly lists: Readonly<Record<string, readonly string[] | undefined>>;
}

/**
 * `--workers=2`, `-c FILE` and the like, with mistakes as UsageErrors. `--help` and `-h` are always known. An option that may be given more
 * than once (`multiple`) is a list, with commas.
 */
export function parseArguments(args: readonly string[], options: Options, maxPositionals: number): Arguments {
  const known: Options = { ...options, help: { type: 'boolean', short: 'h' } };
  // Not strict, so that the message for an unknown option can be ours.
  const { tokens } = parseArgs({
    args: [...args],
    options: known,
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  const values: Record<string, string | boolean | undefined> = {};
  const lists: Record<string, string[]> = {};
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const option = known[token.name];
    if (option === undefined) {
      const names = Object.keys(known).map((name) => `--${name}`);
      throw new UsageError(`unknown option ${token.rawName}; ${suggest(token.rawName, names)}`);
    }
    // `-o=json` is `-o json`, as other programs for Kubernetes have it.
    const value = token.inlineValue && !token.rawName.startsWith('--') ? token.value.replace(/^=/, '') : token.value;
    // A value that looks like an option is one that was forgotten.
    const forgotten = value === undefined || (!token.inlineValue && value.startsWith('-') && value.length > 1);
    if (option.type === 'string' && forgotten) throw new UsageError(`${token.rawName} needs a value`);
    if (option.type === 'boolean' && value !== undefined) throw new UsageError(`${token.rawName} takes no value`);
    const before = values[token.name];
    if (before !== undefined && option.type === 'string' && option.multiple !== true)
      throw new UsageError(`--${token.name} is given twice`);
    if (option.multiple === true) lists[token.name] = [...(lists[token.name] ?? []), value ?? ''];
    values[token.name] = typeof before === 'string' ? `${before},${value}` : (value ?? true);
  }
  if (values.help !== true && positionals.length > maxPositionals) {
    throw new UsageError(`unexpected argument ${JSON.stringify(positionals[maxPositionals])}`);
  }
  return { values, positionals, lists };
}

/** The file given with -c. */
export function configFile(values: Arguments['values']): string {
  if (typeof values.config !== 'string' || values.config === '')
    throw new UsageError('which configuration? add -c FILE');
  if (values.config === '-')
    throw new UsageError('-c -: the standard input is not read; write the configuration to a file, and name that');
  return values.config;
}

/** Message of whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
