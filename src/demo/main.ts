// `make run`: servers, the real proxy in front of them, light traffic, and what the proxy measures of it.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { GoldenTotals } from '../metrics/golden.js';
import { goldenMetrics } from '../metrics/golden.js';
import { ProxyProcess } from './proxy.js';
import { goldenTable } from './table.js';
import type { Traffic } from './traffic.js';
import { startTraffic } from './traffic.js';
import type { Upstreams } from './upstreams.js';
import { DEMO_PORTS, startUpstreams } from './upstreams.js';
import { readTotals } from './watch.js';

const CONFIG = fileURLToPath(new URL('../../../docs/demo.yaml', import.meta.url));
const ADMIN = 'http://127.0.0.1:4191';

const HELP = `Usage: node dist/src/demo/main.js [--seconds N] [--no-traffic]

Starts small servers, Sluice in front of them (docs/demo.yaml) and light traffic, and shows what Sluice measures.
Ctrl-C ends everything.

  --seconds N    end by itself after N seconds
  --no-traffic   send nothing; try the commands it prints`;

const TRY = `Try, in another terminal:
  curl -i http://127.0.0.1:8080/                        one of three servers, the quick ones more often
  echo hello | nc -q1 127.0.0.1 8080                    the same port, no HTTP: goes to an echo server
  nc 127.0.0.1 8082                                     the server speaks first (type QUIT)
  curl '${ADMIN}/explain?dst=127.0.0.1:8082'   what happens to a connection, and why
  curl ${ADMIN}/                               everything else that the admin port has
and a WebSocket, in this directory:
  node --input-type=module -e "import { WebSocket } from 'undici'; const s = new WebSocket('ws://127.0.0.1:8081/'); \\
    s.onopen = () => s.send('hello'); s.onmessage = (m) => { console.log(m.data); s.close(); }"
`;

interface Options {
  /** 0 runs until Ctrl-C. */
  readonly seconds: number;
  readonly traffic: boolean;
}

function readOptions(args: string[]): Options | null {
  const options = {
    seconds: { type: 'string' },
    'no-traffic': { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help === true) return null;
  const seconds = Number(values.seconds ?? 0);
  if (!(seconds >= 0)) throw new Error(`--seconds takes a number, not "${values.seconds}"`);
  return { seconds, traffic: values['no-traffic'] !== true };
}

/** Resolves with why the demo is to end: '' where it was asked to. */
function theEnd(seconds: number): Promise<string> {
  return new Promise((resolve) => {
    // Kept for good: a second Ctrl-C must not end the demo before it has ended the proxy.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(''));
    if (seconds > 0) setTimeout(() => resolve(''), seconds * 1000).unref();
  });
}

/** Shows the table: once a second in its place on a terminal, every five seconds below each other elsewhere. */
class Screen {
  readonly #tty = process.stdout.isTTY === true;
  readonly #notes: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #previous: { readonly totals: GoldenTotals; readonly atMs: number } | undefined;

  /** A line of the proxy's log: warnings stay under the table; where nothing is redrawn, all of it goes to stderr. */
  note(line: string): void {
    if (!this.#tty) process.stderr.write(`${line}\n`);
    else if (/"level":"(warn|error)"/.test(line)) this.#notes.splice(0, this.#notes.length - 3, line);
  }

  start(): void {
    const everyMs = this.#tty ? 1000 : 5000;
    const turn = async (): Promise<void> => {
      await this.#draw();
      this.#timer = setTimeout(turn, everyMs);
    };
    void turn();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #draw(): Promise<void> {
    let totals: GoldenTotals;
    try {
      totals = await readTotals(ADMIN);
    } catch {
      // The proxy is busy or going down; its end is noticed elsewhere.
      return;
    }
    const atMs = performance.now();
    const previous = this.#previous;
    this.#previous = { totals, atMs };
    if (previous === undefined) return;
    const golden = goldenMetrics(previous.totals, totals, (atMs - previous.atMs) / 1000);
    const table = goldenTable(golden).join('\n');
    const notes = this.#notes.map((note) => note.slice(0, process.stdout.columns ?? 120)).join('\n');
    // Home, the page, clear to the end: no flicker, unlike clearing first.
    const page = this.#tty ? `\x1b[H${TRY}\n${table}\n${notes}`.replaceAll('\n', '\x1b[K\n') : `${table}\n`;
    process.stdout.write(this.#tty ? `${page}\x1b[K\x1b[J` : `${page}\n`);
  }
}

async function demo({ seconds, traffic }: Options): Promise<void> {
  let upstreams: Upstreams | undefined;
  let proxy: ProxyProcess | undefined;
  let sending: Traffic | undefined;
  const screen = new Screen();
  const end = theEnd(seconds);
  try {
    upstreams = await startUpstreams(DEMO_PORTS);
    proxy = new ProxyProcess(CONFIG, (line) => screen.note(line));
    const starting = proxy.ready(ADMIN).then(() => 'ready');
    if ((await Promise.race([starting, end])) !== 'ready') return;
    if (process.stdout.isTTY) process.stdout.write('\x1b[2J');
    process.stdout.write(`${TRY}\n`);
    if (traffic) sending = startTraffic();
    screen.start();
    const why = await Promise.race([end, proxy.ended]);
    if (why !== '') throw new Error(`the proxy ${why}\n  ${proxy.lines.join('\n  ')}`);
  } finally {
    screen.stop();
    await sending?.stop();
    await proxy?.stop();
    upstreams?.close();
  }
}

try {
  const options = readOptions(process.argv.slice(2));
  if (options === null) process.stdout.write(`${HELP}\n`);
  else await demo(options);
  process.exit(0);
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
