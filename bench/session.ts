// One run's processes, ports and temporary files, and their end: whatever way the run ends, nothing stays behind.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** The directory of package.json. */
export const packageRoot = ((): string => {
  let at = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(at, 'package.json'))) {
    if (dirname(at) === at) throw new Error('package.json not found above the benchmark');
    at = dirname(at);
  }
  return at;
})();

/** The directory that the compiler wrote to (`dist`): this file's grandparent. */
export const outputRoot = dirname(dirname(fileURLToPath(import.meta.url)));

/** Absolute path of `command` on the PATH or in the sbin directories, or null. */
export function which(command: string): string | null {
  for (const directory of `${process.env.PATH ?? ''}:/usr/sbin:/sbin`.split(':')) {
    const path = join(directory, command);
    if (directory && existsSync(path)) return path;
  }
  return null;
}

/** Without what is meant for the benchmark: Sluice refuses variables of its own that it does not know. */
const ENVIRONMENT = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_BENCH_')),
);

export interface Started {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  /** What was started, without what binds it to this process and its cores. */
  readonly command: readonly string[];
  /** Last lines of standard error. */
  stderr(): string;
}

export interface SessionOptions {
  /** First port of 1000. */
  readonly firstPort: number;
  /** Core of load generators, upstreams and the harness itself. */
  readonly loadCore: number;
}

export class Session {
  readonly directory: string;
  /** On tmpfs where there is one: files served in bulk must not be the disk's business. */
  readonly memoryDirectory: string;
  readonly #options: SessionOptions;
  readonly #running = new Map<number, Started>();
  #nextPort: number;
  #closed = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#nextPort = options.firstPort;
    this.directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
    this.memoryDirectory = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/sluice-bench-') : join(this.directory, 'shm');
    mkdirSync(this.memoryDirectory, { recursive: true });
    process.once('exit', () => this.#end());
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () => {
        this.#end();
        process.exit(130);
      });
    }
  }

  get loadCore(): number {
    return this.#options.loadCore;
  }

  /** What runs now. */
  processes(): Started[] {
    return [...this.#running.values()];
  }

  /** A port that nobody listens on. */
  async port(): Promise<number> {
    while (this.#nextPort < this.#options.firstPort + 1000) {
      const port = this.#nextPort++;
      if (await isFree(port)) return port;
    }
    throw new Error(`no free port from ${this.#options.firstPort} on; see --first-port`);
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

  /** Compiles bench/load/<name>.c, to speak TLS where it is asked to, and returns the program's path. */
  compile(name: string, tls = false): string {
    const program = join(this.directory, tls ? `${name}-tls` : name);
    if (existsSync(program)) return program;
    const compiler = process.env.CC ?? 'cc';
    const from = join(packageRoot, 'bench', 'load', `${name}.c`);
    const libraries = tls ? ['-DBENCH_TLS=1', '-lssl', '-lcrypto'] : [];
    execFileSync(compiler, ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, from, ...libraries], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    return program;
  }

  /** Starts a long-running program on `cores` in its own process group. */
  start(name: string, cores: string, command: readonly string[], stdin: 'ignore' | 'pipe' = 'ignore'): Started {
    // It ends with us, even where we have no time to end it.
    const bound = which('setpriv') === null ? [] : ['setpriv', '--pdeathsig', 'KILL'];
    const [program, ...rest] = [...bound, 'taskset', '-c', cores, ...command];
    const child = spawn(program, rest, {
      detached: true,
      stdio: [stdin, 'pipe', 'pipe'],
      cwd: this.directory,
      env: ENVIRONMENT,
    });
    if (child.pid === undefined) throw new Error(`${name}: cannot start ${command[0]}`);
    let tail = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      tail = (tail + chunk.toString()).slice(-4000);
    });
    const started: Started = { name, pid: child.pid, child, command, stderr: () => tail };
    this.#running.set(child.pid, started);
    child.once('exit', () => this.#running.delete(started.pid));
    return started;
  }

  /** Runs a program on the load core to its end and returns its standard output. */
  async run(name: string, command: readonly string[]): Promise<string> {
    const started = this.start(name, String(this.loadCore), command);
    let output = '';
    started.child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    const code = await new Promise<number | null>((resolve) => started.child.once('close', resolve));
    if (code !== 0) throw new Error(`${name} (${command.join(' ')}) ended with ${code}: ${started.stderr().trim()}`);
    return output;
  }

  /** Resolves once `port` accepts; rejects if the program ends first or after 15 s. */
  async listening(started: Started, port: number): Promise<void> {
    await this.until(started, `listen on ${port}`, () => accepts(port));
  }

  /** Polls `condition`; rejects if the program ends first or after 15 s. */
  async until(started: Started, what: string, condition: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      if (started.child.exitCode !== null || started.child.signalCode !== null) {
        throw new Error(`${started.name} ended before it could ${what}: ${started.stderr().trim()}`);
      }
      if (await condition()) return;
      if (Date.now() > deadline) throw new Error(`${started.name} did not ${what} in 15 s: ${started.stderr().trim()}`);
      await delay(20);
    }
  }

  /** Ends a program: SIGTERM, after 2 s SIGKILL to its whole group. */
  async stop(started: Started): Promise<void> {
    const { child } = started;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => killGroup(started.pid), 2000);
    await ended;
    clearTimeout(timer);
    killGroup(started.pid);
  }

  close(): void {
    this.#end();
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const pid of this.#running.keys()) killGroup(pid);
    rmSync(this.directory, { recursive: true, force: true });
    rmSync(this.memoryDirectory, { recursive: true, force: true });
  }
}

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
 * Keeps a second benchmark from running at the same time: both would measure each other. The lock is an abstract socket, which
 * ends with its process. Rejects if it is taken.
 */
export function lockMachine(): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', () => reject(new Error('another benchmark runs on this machine; wait for its end')));
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
