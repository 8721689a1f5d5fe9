// A command of Sluice's that serves until it is told to end, as a process with its log and its admin port.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually, inherited } from './sluice.js';

export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

/** What it says where it does not start, and how it ends. */
export class StartFailed extends Error {
  constructor(
    message: string,
    readonly code: number | null,
  ) {
    super(message);
  }
}

export class LoggedProcess {
  readonly log: LogLine[] = [];
  #raw = '';
  readonly #closed: Promise<unknown>;

  private constructor(readonly child: ChildProcess) {
    this.#closed = once(child, 'close');
    let rest = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#raw += chunk;
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('{')) this.log.push(JSON.parse(line));
    });
  }

  /** Resolves when it has logged `started`; rejects with a StartFailed where it ends instead. */
  static async start(args: readonly string[], started: string, env: NodeJS.ProcessEnv = {}): Promise<LoggedProcess> {
    const child = spawn(process.execPath, [MAIN, ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...inherited(), ...env },
    });
    const begun = new LoggedProcess(child);
    await eventually(() => child.exitCode !== null || begun.logged(started).length > 0, 'a start');
    if (child.exitCode === null) return begun;
    await begun.#closed;
    throw new StartFailed(begun.#raw.trim(), child.exitCode);
  }

  logged(message: string): LogLine[] {
    return this.log.filter((line) => line.message === message);
  }

  /** A port that it has logged. */
  portOf(message: string, field = 'port'): number {
    return Number(this.logged(message)[0]?.[field]);
  }

  /** Ends it; returns the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    await this.#closed;
    return this.child.exitCode;
  }
}

/** A page of an admin port. */
export async function pageOf(port: number, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: await response.text() };
}
