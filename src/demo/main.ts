// `make run`: starts servers, the real proxy in front of them and light traffic, and shows what the proxy measures.
import { parseArgs } from 'node:util';
import type { Ports } from './ports.js';
import { demoConfig, demoPorts, freeShift, taken } from './ports.js';
import { ProxyProcess } from './proxy.js';
import { Screen } from './screen.js';
import type { Traffic } from './traffic.js';
import { startTraffic } from './traffic.js';
import type { Upstreams } from './upstreams.js';
import { startUpstreams } from './upstreams.js';

const HELP = `Usage: make run [ARGS="OPTIONS"]

Starts small servers, Sluice in front of them (docs/demo.yaml) and light traffic, and shows what Sluice measures.
Ctrl-C ends everything.

  --io EXECUTOR  uring or epoll; without it Sluice takes what this machine allows
  --seconds N    end by itself after N seconds
  --shift N      listen on ports N higher than those of docs/demo.yaml
  --no-traffic   send nothing; try the commands it prints`;

/** Things to try while the demo runs. They need only curl, bash and the checkout. */
function suggestions({ edge, chat, mail, admin }: Ports): string {
  const url = `http://127.0.0.1:${admin}`;
  return `Sluice is running. Ctrl-C ends it. In another terminal, in this directory:

HTTP: one of three servers, the quick ones more often
  curl -i http://127.0.0.1:${edge}/
The same port, gRPC: each call to one of three other servers, the slow one seldom
  printf '\\0\\0\\0\\0\\0' | curl -s --http2-prior-knowledge -H 'Content-Type: application/grpc' --data-binary @- \\
    http://127.0.0.1:${edge}/helloworld.Greeter/SayHello | tail -c +8
The same port, no HTTP: goes to an echo server
  bash -c 'exec 3<>/dev/tcp/127.0.0.1/${edge}; echo hello >&3; head -n1 <&3'
A server that speaks first (mail)
  bash -c 'exec 3<>/dev/tcp/127.0.0.1/${mail}; head -n1 <&3; echo QUIT >&3; head -n1 <&3'
A WebSocket
  node -e "const s = new (require('undici').WebSocket)('ws://127.0.0.1:${chat}'); s.onopen = () => s.send('hello'); \\
    s.onmessage = (m) => { console.log(m.data); s.close(); }"
What happens to a connection, and why; and everything else that the admin port has
  curl '${url}/explain?dst=127.0.0.1:${mail}'
  curl ${url}/
`;
}

interface Options {
  /** 0: until Ctrl-C. */
  readonly seconds: number;
  readonly traffic: boolean;
  /** Empty: Sluice chooses. */
  readonly io: string;
  /** -1: the first free one. */
  readonly shift: number;
}

function readOptions(args: string[]): Options | null {
  const options = {
    io: { type: 'string' },
    seconds: { type: 'string' },
    shift: { type: 'string' },
    'no-traffic': { type: 'boolean' },
    help: { type: 'boolean', short: 'h' },
  } as const;
  const { values } = parseArgs({ args, options });
  if (values.help === true) return null;
  const seconds = Number(values.seconds ?? 0);
  if (!(seconds >= 0)) throw new Error(`--seconds takes a number, not "${values.seconds}"`);
  const shift = Number(values.shift ?? -1);
  if (values.shift !== undefined && !(Number.isInteger(shift) && shift >= 0 && shift <= 56_000)) {
    throw new Error(`--shift takes a number from 0 to 56000, not "${values.shift}"`);
  }
  return { seconds, shift, io: values.io ?? '', traffic: values['no-traffic'] !== true };
}

async function choosePorts(wanted: number): Promise<number> {
  if (wanted >= 0) {
    const occupied = await taken(demoPorts(wanted));
    if (occupied.length > 0) throw new Error(`ports are taken: ${occupied.join(', ')}; try another --shift`);
    return wanted;
  }
  const { shift, inTheWay } = await freeShift();
  if (shift > 0) {
    process.stdout.write(`In use: ${inTheWay.join(', ')}. Everything listens ${shift} higher than usual.\n\n`);
  }
  return shift;
}

/** Resolves with the reason why the demo ends: '' if the user asked for it. */
function theEnd(seconds: number): Promise<string> {
  return new Promise((resolve) => {
    // These listeners stay: a second Ctrl-C must not end the demo before it has stopped the proxy.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => resolve(''));
    if (seconds > 0) setTimeout(() => resolve(''), seconds * 1000).unref();
  });
}

async function demo({ seconds, traffic, io, shift: wanted }: Options): Promise<void> {
  let upstreams: Upstreams | undefined;
  let proxy: ProxyProcess | undefined;
  let sending: Traffic | undefined;
  const end = theEnd(seconds);
  const shift = await choosePorts(wanted);
  const ports = demoPorts(shift);
  const admin = `http://127.0.0.1:${ports.admin}`;
  const screen = new Screen(admin, suggestions(ports));
  const config = demoConfig(shift);
  try {
    upstreams = await startUpstreams(ports.servers);
    proxy = new ProxyProcess(config.file, io, (line) => screen.note(line));
    const starting = proxy.ready(admin).then(() => 'ready');
    if ((await Promise.race([starting, end])) !== 'ready') return;
    if (traffic) sending = startTraffic(ports);
    screen.start();
    const why = await Promise.race([end, proxy.ended]);
    if (why !== '') throw new Error(`the proxy ${why}\n  ${proxy.lines.join('\n  ')}`);
  } finally {
    screen.stop();
    await sending?.stop();
    await proxy?.stop();
    upstreams?.close();
    config.remove();
  }
}

let unwritten: NodeJS.ErrnoException | undefined;
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // `make run | head`: the reader is gone, so the demo ends. Anything else is worth a word.
  if (error.code !== 'EPIPE') unwritten ??= error;
  process.emit('SIGTERM');
});
try {
  const options = readOptions(process.argv.slice(2));
  if (options === null) process.stdout.write(`${HELP}\n`);
  else await demo(options);
  // Errors of writes come with the next turn of the loop.
  await new Promise((resolve) => setImmediate(resolve));
  if (unwritten !== undefined) throw new Error(`cannot write to standard output: ${unwritten.message}`);
  process.exit(0);
} catch (error) {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
