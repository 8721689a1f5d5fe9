// A process of the soak: some of its endpoints, or some of its clients. It ends with the soak, whatever way that ends.
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { WrongBytes } from '../pattern.js';
import { Random } from '../random.js';
import { startEndpoints } from './endpoints.js';
import { Channels } from './grpc.js';
import { Sessions } from './http2-client.js';
import { TIMEOUT_MS } from './limits.js';
import type { ClientsRole, EndpointsRole, Order, Report, Tally } from './messages.js';
import type { ClientContext, Workload } from './workload.js';
import { ALL_WORKLOADS } from './workloads.js';

const PROGRESS_MS = 500;

function send(report: Report): void {
  if (process.connected) process.send?.(report);
}

/** Resolves once all reports have been handed on. */
function sendAndWait(report: Report): Promise<void> {
  return new Promise((resolve) => process.send?.(report, () => resolve()));
}

let stopping = false;
const stopped = new Promise<void>((resolve) => {
  process.on('message', (order: Order) => {
    if (order === 'stop') {
      stopping = true;
      resolve();
    } else void begin(order.begin);
  });
});
process.once('disconnect', () => process.exit());

async function begin(role: ClientsRole | EndpointsRole): Promise<void> {
  if (role.kind === 'clients') await clients(role);
  else await endpoints(role);
  process.exit();
}

async function endpoints({ services, firstFault, seed }: EndpointsRole): Promise<void> {
  await startEndpoints(services, firstFault, new Random(seed));
  send({ kind: 'ready' });
  await stopped;
}

async function runRepeatedly(workload: Workload, context: ClientContext, tally: Tally): Promise<void> {
  while (!stopping) {
    tally.active++;
    try {
      await workload.run(context);
      tally.done++;
    } catch (error) {
      const text = `${workload.name}: ${error instanceof Error ? error.message : String(error)}`;
      const corrupt = error instanceof WrongBytes;
      send({ kind: 'failure', failure: { workload: workload.name, text, corrupt, at: Date.now() } });
      await delay(50);
    }
    tally.active--;
    // Leaves some of two cores to the proxy; the point is variety and time, not load.
    await delay(context.random.integer(0, 5));
  }
}

async function clients({ workloads, ports, seed }: ClientsRole): Promise<void> {
  const random = new Random(seed);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const sessions = new Sessions(ports, random);
  const channels = new Channels(ports, random);
  const clean = { sent: 0, received: 0 };
  const requestCount = { requests: 0, complete: 0 };
  const context: ClientContext = { ports, random, clean, requestCount, agent, sessions, channels };
  const tallies: Record<string, Tally> = {};
  const running = ALL_WORKLOADS.filter(({ name }) => workloads.includes(name)).flatMap((workload) => {
    const tally = { done: 0, active: 0 };
    tallies[workload.name] = tally;
    return Array.from({ length: workload.concurrency }, () => runRepeatedly(workload, context, tally));
  });
  send({ kind: 'ready' });
  const progress = (): Report => ({ kind: 'progress', progress: { tallies, clean, requestCount } });
  const timer = setInterval(() => send(progress()), PROGRESS_MS);
  await stopped;
  await Promise.race([Promise.all(running), delay(2 * TIMEOUT_MS)]);
  clearInterval(timer);
  agent.destroy();
  sessions.close();
  channels.close();
  send(progress());
  await sendAndWait({ kind: 'ended' });
}
