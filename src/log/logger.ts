// The log: one JSON object a line on stderr, written synchronously, so that the last line before an exit is there.
import { writeSync } from 'node:fs';
import type { LogLevel } from '../config/telemetry-model.js';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  /** May be changed at any time; less important lines are not written. */
  level: LogLevel;
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** An answer to a request: an info line that is written at every level. */
  report(message: string, fields?: LogFields): void;
}

export interface LoggerOptions {
  readonly level?: LogLevel;
  /** Takes one line including its newline. */
  readonly write?: (line: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export const LOG_LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];
const SEVERITY: Readonly<Record<LogLevel, number>> = { error: 0, warn: 1, info: 2, debug: 3 };
/** The line's own keys; a field of that name gets an underscore. */
const RESERVED = new Set(['time', 'level', 'message']);

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Set || value instanceof Map) return [...value];
  if (value instanceof Error) {
    const { name, message, stack } = value;
    const { code } = value as NodeJS.ErrnoException;
    return { name, message, ...(code === undefined ? {} : { code }), stack };
  }
  return value;
}

/** A log line without its newline. */
export function formatLine(time: number, level: LogLevel, message: string, fields: LogFields = {}): string {
  const line: Record<string, unknown> = { time: new Date(time).toISOString(), level, message };
  for (const [key, value] of Object.entries(fields)) line[RESERVED.has(key) ? `${key}_` : key] = value;
  try {
    return JSON.stringify(line, plain);
  } catch (error) {
    // Circular fields are dropped, because the message matters more.
    return JSON.stringify({ time: line.time, level, message, unloggable: String(error) });
  }
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const write = options.write ?? createLineWriter(2).write;
  const now = options.now ?? Date.now;
  const logger: Logger = {
    level: options.level ?? 'info',
    error: (message, fields) => log('error', message, fields),
    warn: (message, fields) => log('warn', message, fields),
    info: (message, fields) => log('info', message, fields),
    debug: (message, fields) => log('debug', message, fields),
    report: (message, fields) => put('info', message, fields),
  };
  const put = (level: LogLevel, message: string, fields: LogFields | undefined): void =>
    write(`${formatLine(now(), level, message, fields)}\n`);
  const log = (level: LogLevel, message: string, fields: LogFields | undefined): void => {
    if (SEVERITY[level] <= SEVERITY[logger.level]) put(level, message, fields);
  };
  return logger;
}

type Write = (fd: number, bytes: Uint8Array) => number;

/** How often to retry a full pipe before the line is dropped, and the pause in between, ms. */
const ATTEMPTS = 50;
const PAUSE_MS = 2;
const pauseCell = new Int32Array(new SharedArrayBuffer(4));
const pause = (): void => {
  Atomics.wait(pauseCell, 0, 0, PAUSE_MS);
};

/**
 * Writes whole lines to `fd`. It waits up to 100 ms for a pipe with a slow reader (EAGAIN); then the line is dropped and counted, and the
 * next one that fits is preceded by a line with the count. A missing reader (EPIPE) or a full disk costs the line, never the process.
 */
export function createLineWriter(
  fd: number,
  writeOnce: Write = writeSync,
  wait: () => void = pause,
): { write(line: string): void } {
  // The rest of a partly written line: it must come first, or the log is no longer JSON.
  let rest: Uint8Array = new Uint8Array(0);
  let dropped = 0;

  /** Bytes not written. */
  const push = (bytes: Uint8Array, attempts: number): Uint8Array => {
    let left = bytes;
    for (let attempt = 0; left.length > 0 && attempt < attempts; ) {
      try {
        const written = writeOnce(fd, left);
        left = left.subarray(written);
        if (written === 0) attempt++;
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EINTR') continue;
        if (code !== 'EAGAIN') return left;
        attempt++;
        if (attempt < attempts) wait();
      }
    }
    return left;
  };

  const write = (line: string): void => {
    // After a loss the reader is known to be slow: don't wait again until it has caught up.
    const attempts = dropped > 0 ? 1 : ATTEMPTS;
    rest = push(rest, attempts);
    if (rest.length > 0) {
      dropped++;
      return;
    }
    const notice =
      dropped > 0 ? `${formatLine(Date.now(), 'warn', 'log lines dropped: stderr is slow', { dropped })}\n` : '';
    const bytes = Buffer.from(notice + line);
    const left = push(bytes, attempts);
    if (left.length === bytes.length) {
      dropped++;
      return;
    }
    dropped = 0;
    rest = left;
  };
  return { write };
}
