// Shared by all commands: parsing of arguments, and errors in usage.
import type { ParseArgsConfig } from 'node:util';
import { parseArgs } from 'node:util';
import { suggest } from '../config/suggest.js';

/** Exit codes: the work failed; the command was used wrongly. */
export const EXIT_FAILURE = 1;
export const EXIT_USAGE = 2;

export interface Command {
  /** The whole text of `--help`. */
  readonly help: string;
  /** For a group: its sub-commands, which have their own help. */
  readonly commands?: readonly ListedCommand[];
  /** Whether a group also takes arguments of its own. */
  readonly takesArguments?: boolean;
  /** Arguments after the command's name; returns the exit code. May throw a UsageError. */
  run(args: readonly string[]): Promise<number>;
}

/** A command in a list. It is loaded only when called, so that a proxy does not load what other commands need. */
export interface ListedCommand {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  load(): Promise<Command>;
}

/** The help lines for a list of commands. */
export const summaries = (commands: readonly ListedCommand[]): string =>
  commands.map(({ name, summary }) => `  ${name.padEnd(10)} ${summary}`).join('\n');

/** Wrong usage: exit code 2, and a pointer to the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  /** The command whose help the message names; empty: the one that was called. */
  topic = '';
}

export const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

export const printError = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

type Options = NonNullable<ParseArgsConfig['options']>;

export interface Arguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  readonly positionals: readonly string[];
  /** For options that may be repeated: the list of values. */
  readonly lists: Readonly<Record<string, readonly string[] | undefined>>;
}

/**
 * Parses arguments such as `--workers=2` and `-c FILE`. Mistakes are UsageErrors. `--help` and `-h` are always known. A repeatable option
 * (`multiple`) is also joined with commas.
 */
export function parseArguments(args: readonly string[], options: Options, maxPositionals: number): Arguments {
  const known: Options = { ...options, help: { type: 'boolean', short: 'h' } };
  // Not strict, so that we can write our own message for an unknown option.
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
    // `-o=json` means `-o json`, as in other Kubernetes programs.
    const value = token.inlineValue && !token.rawName.startsWith('--') ? token.value.replace(/^=/, '') : token.value;
    // A value that looks like an option means that the value was forgotten.
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

/** The message of any thrown value. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
