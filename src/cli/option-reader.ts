// Reads a command's options with their defaults. Errors name the option.
import { parseInteger, ValueError } from '../config/values.js';
import { parseLifetime } from '../identity/issuing/lifetime.js';
import { type Arguments, UsageError } from './usage.js';

const MIN_LIFETIME_MS = 60_000;
const MAX_LIFETIME_MS = 366 * 86_400_000;

/** Reads the parsed options by name. */
export class OptionReader<Name extends string> {
  constructor(private readonly values: Arguments['values']) {}

  text(name: Name, fallback: string): string {
    const value = this.values[name];
    return typeof value === 'string' ? value : fallback;
  }

  optional(name: Name): string | null {
    const value = this.values[name];
    return typeof value === 'string' ? value : null;
  }

  required(name: Name, question: string): string {
    const value = this.values[name];
    if (typeof value !== 'string' || value === '') throw new UsageError(`${question} add --${name} FILE`);
    return value;
  }

  flag(name: Name): boolean {
    return this.values[name] === true;
  }

  /** The option's text, parsed by `parse`. Errors name the option. */
  parsed<T>(name: Name, fallback: string, parse: (text: string) => T): T {
    try {
      return parse(this.text(name, fallback));
    } catch (error) {
      if (error instanceof ValueError) throw new UsageError(`--${name}: ${error.message}`);
      throw error;
    }
  }

  integer(name: Name, fallback: number, max: number): number {
    return this.parsed(name, String(fallback), (text) =>
      parseInteger(/^\d+$/.test(text) ? Number(text) : text, 1, max),
    );
  }
}

/** The lifetime of a certificate, ms. Throws a ValueError. */
export function lifetimeOf(text: string): number {
  const lifetimeMs = parseLifetime(text);
  if (lifetimeMs === null) throw new ValueError(`${text} is not a duration; write for example 12h or 1d`);
  if (lifetimeMs < MIN_LIFETIME_MS) throw new ValueError(`${text} is too short; write at least 1m`);
  if (lifetimeMs > MAX_LIFETIME_MS) throw new ValueError(`${text} is too long; write at most 366d`);
  return lifetimeMs;
}
