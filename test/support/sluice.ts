// A real Sluice for tests: the command line program as a child process, on ports of the kernel's choosing.
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

/** Whether sockets carry plain bytes, which may be spliced: not under the transport that `make test-transport` puts on all of them. */
export const plainSockets = process.env.TEST_TRANSPORT === undefined;
/** Why tests with a slab of few buffers are skipped: each piece of an octet takes one. */
export const fewBuffers =
  process.env.TEST_TRANSPORT === 'rechunking' ? 'a transport that cuts pieces of an octet needs more buffers' : false;
const MAIN = fileURLToPath(new URL(plainSockets ? '../../src/cli/main.js' : './rechunking-main.js', import.meta.url));
const NATIVE = new URL('../../src/io/native.js', import.meta.url).href;

export type Executor = 'uring' | 'epoll';

export interface LogLine {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface Sluice {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Everything logged so far. */
  readonly log: LogLine[];
  /** Port that the listener `name` accepts on. */
  port(name: string): number;
  readonly adminPort: number;
  /** GET on the admin port; the body. */
  admin(path: string): Promise<string>;
  /** The value of one series of /metrics whose labels contain all of `labels`; 0 if there is none. Sums over several. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  /** Resolves with the first line, past or to come, that `matches`. */
  logged(matches: (line: LogLine) => boolean): Promise<LogLine>;
  /** Rewrites the configuration file and sends SIGHUP. */
  reload(yaml: string): void;
  readonly exited: Promise<number | null>;
  /** SIGTERM without hold, then the exit code. Safe to call twice. */
  stop(): Promise<number | null>;
}

let executors: Promise<readonly Executor[]> | undefined;

/** The executors that this kernel offers; says so, by name, where io_uring is refused. TEST_EXECUTORS=epoll asks for fewer. */
export function availableExecutors(): Promise<readonly Executor[]> {
  executors ??= new Promise((resolve) => {
    const { TEST_EXECUTORS: wanted } = process.env;
    if (wanted !== undefined) {
      resolve(wanted.split(',').filter((io) => io === 'uring' || io === 'epoll'));
      return;
    }
    const probe = new Worker(
      `import(${JSON.stringify(NATIVE)}).then(({ native }) => { native().create('uring', 8, 8, 65536); }).catch((error) => { console.error(error.message); process.exit(1); })`,
      { eval: true },
    );
    probe.once('error', () => undefined);
    probe.once('exit', (code) => {
      if (code !== 0) console.error('SKIPPED: io_uring is not to be had here; testing the epoll executor only');
      resolve(code === 0 ? ['uring', 'epoll'] : ['epoll']);
    });
  });
  return executors;
}

/** The environment without SLUICE_ variables of whoever runs the tests: each would be a key of the configuration. */
export const inherited = (): NodeJS.ProcessEnv =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE_')));

/** The value, in a page of metrics, of the series of `name` whose labels contain all of `labels`: 0 if there is none, the sum of several. */
export function sumOf(page: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
  let sum = 0;
  for (const line of page.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)/.exec(line);
    if (match === null || match[1] !== name || !wanted.every((label) => (match[2] ?? '').includes(label))) continue;
    sum += Number(match[3]);
  }
  return sum;
}

/**
 * Starts Sluice with this configuration; listeners should listen on 127.0.0.1:0. `admin` is put on a free port unless the text
 * names one. `under` is a command that runs it, such as prlimit. Rejects with what the program said if it doesn't start.
 */
export async function startSluice(
  yaml: string,
  io: Executor | 'auto',
  env: NodeJS.ProcessEnv = {},
  under: readonly string[] = [],
): Promise<Sluice> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-'));
  const file = join(directory, 'sluice.yaml');
  const complete = /^admin:/m.test(yaml) ? yaml : `admin: { listen: "127.0.0.1:0" }\n${yaml}`;
  writeFileSync(file, complete);
  // `under` may make it another user's.
  chmodSync(directory, 0o755);
  const [program, ...args] = [...under, process.execPath, MAIN, 'run', '-c', file, '--io', io];
  const child = spawn(program, args, {
    stdio: ['ignore', 'inherit', 'pipe'],
    // A warm-up takes longer than most tests.
    env: { ...inherited(), SLUICE_WARMUP: 'off', ...env },
  });
  const log: LogLine[] = [];
  const waiting = new Set<() => void>();
  let text = '';
  let raw = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    raw += chunk;
    text += chunk;
    const lines = text.split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      try {
        log.push(JSON.parse(line) as LogLine);
      } catch {
        log.push({ time: '', level: 'raw', message: line });
      }
    }
    for (const check of waiting) check();
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  void exited.then(() => rmSync(directory, { recursive: true, force: true }));
  const logged = (matches: (line: LogLine) => boolean): Promise<LogLine> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const found = log.find(matches);
        if (found === undefined) return;
        waiting.delete(check);
        resolve(found);
      };
      waiting.add(check);
      check();
      void exited.then((code) => reject(new Error(`sluice exited with ${code}:\n${raw}`)));
    });
  const accepting = await logged((line) => line.message === 'accepting');
  const ports = new Map<string, number>();
  for (const listener of accepting.listeners as string[]) {
    ports.set(listener.slice(0, listener.indexOf('=')), Number(listener.slice(listener.lastIndexOf(':') + 1)));
  }
  const adminPort = accepting.admin === undefined ? 0 : Number(String(accepting.admin).split(':').at(-1));
  const admin = async (path: string): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${adminPort}${path}`, { headers: { connection: 'close' } });
    return response.text();
  };
  let stopping: Promise<number | null> | undefined;
  return {
    child,
    pid: child.pid ?? 0,
    log,
    port: (name) => {
      const port = ports.get(name);
      if (port === undefined) throw new Error(`no listener ${name}`);
      return port;
    },
    adminPort,
    admin,
    metric: async (name, labels = {}) => sumOf(await admin('/metrics'), name, labels),
    logged,
    reload: (text) => {
      writeFileSync(file, /^admin:/m.test(text) ? text : `admin: { listen: "127.0.0.1:0" }\n${text}`);
      child.kill('SIGHUP');
    },
    exited,
    stop: () => {
      if (stopping === undefined) {
        child.kill('SIGINT');
        // What does not drain is a test's own connection.
        const force = setTimeout(() => child.kill('SIGINT'), 5000).unref();
        stopping = exited.finally(() => clearTimeout(force));
      }
      return stopping;
    },
  };
}

/** Waits until `condition` holds, looking often; rejects after `patienceMs` with `what`. */
export async function eventually(
  condition: () => Promise<boolean> | boolean,
  what: string,
  patienceMs = 30_000,
): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`did not happen within ${patienceMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
