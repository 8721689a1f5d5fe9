// Processes, ports and temporary files of one run. However the run ends, nothing stays behind.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { which } from './paths.js';

const PORTS = 1000;
const TIMEOUT_MS = 15_000;
const POLL_MS = 20;
/** Time from SIGTERM to SIGKILL. */
const GRACE_MS = 2000;
/** Characters of standard error to keep. */
const TAIL = 4000;

/** Without the benchmark's own variables: Sluice refuses unknown variables with its prefix. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_BENCH_')),
);

export interface Started {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** The command without the parts that bind it to this process and its cores. */
  readonly command: readonly string[];
  /** Last lines of standard error. */
  stderr(): string;
}

export interface StartOptions {
  readonly stdin?: 'ignore' | 'pipe';
  /** By default a pipe, which somebody has to read. */
  readonly stdout?: 'ignore' | 'pipe';
  /** In addition to those of this process. */
  readonly env?: Readonly<Record<string, string>>;
}

export class Processes {
  readonly directory: string;
  readonly #firstPort: number;
  readonly #running = new Map<number, Started>();
  #nextPort: number;
  #closed = false;

  /** `firstPort`: start of a range of 1000. */
  constructor(firstPort: number) {
    this.#firstPort = firstPort;
    this.#nextPort = firstPort;
    this.directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
    process.once('exit', () => this.close());
  }

  /** Running processes. */
  processes(): Started[] {
    return [...this.#running.values()];
  }

  /** A free port. */
  async port(): Promise<number> {
    while (this.#nextPort < this.#firstPort + PORTS) {
      const port = this.#nextPort++;
      if (await isFree(port)) return port;
    }
    throw new Error(`no free port from ${this.#firstPort} on; see --first-port`);
  }

  async ports(count: number): Promise<number[]> {
    const ports: number[] = [];
    while (ports.length < count) ports.push(await this.port());
    return ports;
  }

  write(name: string, text: string | Uint8Array): string {
    const path = join(this.directory, name);
    writeFileSync(path, text);
    return path;
  }

  /** Starts a long-running program on `cores` (in the syntax of `taskset -c`) in its own process group. */
  start(name: string, cores: string, command: readonly string[], options: StartOptions = {}): Started {
    // It ends with us, even if we have no time to end it.
    const bound = which('setpriv') === null ? [] : ['setpriv', '--pdeathsig', 'KILL'];
    const pinned = which('taskset') === null ? [] : ['taskset', '-c', cores];
    const [program, ...rest] = [...bound, ...pinned, ...command];
    const child = spawn(program, rest, {
      detached: true,
      stdio: [options.stdin ?? 'ignore', options.stdout ?? 'pipe', 'pipe'],
      cwd: this.directory,
      env: { ...ENVIRONMENT, ...options.env },
    });
    // If it can't be started there is no pid; this is handled below.
    child.once('error', () => undefined);
    if (child.pid === undefined) throw new Error(`${name}: cannot start ${command[0]}`);
    let tail = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-TAIL);
    });
    const started: Started = { name, pid: child.pid, child, command, stderr: () => tail };
    this.#running.set(child.pid, started);
    child.once('exit', () => this.#running.delete(started.pid));
    return started;
  }

  /** Resolves once `port` accepts; rejects if the program ends first or after 15 s. */
  async listening(started: Started, port: number): Promise<void> {
    await this.until(started, `listen on ${port}`, () => accepts(port));
  }

  /** Polls `condition`; rejects if the program ends first or after 15 s. */
  async until(started: Started, what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + TIMEOUT_MS;
    for (;;) {
      if (!alive(started)) throw new Error(`${started.name} ended before it could ${what}${said(started)}`);
      if (await condition()) return;
      if (Date.now() > deadline)
        throw new Error(`${started.name} did not ${what} in ${TIMEOUT_MS / 1000} s${said(started)}`);
      await delay(POLL_MS);
    }
  }

  /** Ends a program: SIGTERM, and after 2 s SIGKILL to its whole group. */
  async stop(started: Started): Promise<void> {
    const { child } = started;
    if (!alive(started)) {
      // Kill what it has left behind.
      killGroup(started.pid);
      return;
    }
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => killGroup(started.pid), GRACE_MS);
    await ended;
    clearTimeout(timer);
    killGroup(started.pid);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const pid of this.#running.keys()) killGroup(pid);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export function alive({ child }: Started): boolean {
  return child.exitCode === null && child.signalCode === null;
}

const said = (started: Started): string => {
  const text = started.stderr().trim();
  return text === '' ? '' : `: ${text}`;
};

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // the group is gone
  }
}

/** Whether a listener without SO_REUSEPORT can have 127.0.0.1:port. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/**
 * Prevents a second benchmark at the same time: they would measure each other. The lock is an abstract socket, which ends with its process.
 * Rejects if it is taken.
 */
export function lockMachine(): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', () => reject(new Error('another benchmark is running on this machine; wait for it to end')));
    server.listen('\0sluice-bench', () => {
      server.unref();
      resolve();
    });
  });
}

/** Whether something accepts on 127.0.0.1:port now. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const end = (answer: boolean) => () => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', end(true));
    socket.once('error', end(false));
  });
}
