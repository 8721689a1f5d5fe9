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
import type { Actor, Stage } from './stage.js';
import { ALL_ACTORS } from './troupes.js';

const PROGRESS_MS = 500;

function say(report: Report): void {
  if (process.connected) process.send?.(report);
}

/** Resolves once all reports have been handed on. */
function said(report: Report): Promise<void> {
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

async function endpoints({ services, temper, seed }: EndpointsRole): Promise<void> {
  await startEndpoints(services, temper, new Random(seed));
  say({ kind: 'ready' });
  await stopped;
}

async function perform(actor: Actor, stage: Stage, tally: Tally): Promise<void> {
  while (!stopping) {
    tally.under++;
    try {
      await actor.act(stage);
      tally.done++;
    } catch (error) {
      const text = `${actor.name}: ${error instanceof Error ? error.message : String(error)}`;
      const wrong = error instanceof WrongBytes;
      say({ kind: 'complaint', complaint: { actor: actor.name, text, wrong, at: Date.now() } });
      await delay(50);
    }
    tally.under--;
    // Leaves some of two cores to the proxy; the point is variety and time, not load.
    await delay(stage.random.integer(0, 5));
  }
}

async function clients({ actors, ports, seed }: ClientsRole): Promise<void> {
  const random = new Random(seed);
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const sessions = new Sessions(ports, random);
  const channels = new Channels(ports, random);
  const clean = { sent: 0, received: 0 };
  const asked = { requests: 0, whole: 0 };
  const stage: Stage = { ports, random, clean, asked, agent, sessions, channels };
  const tallies: Record<string, Tally> = {};
  const performing = ALL_ACTORS.filter(({ name }) => actors.includes(name)).flatMap((actor) => {
    const tally = { done: 0, under: 0 };
    tallies[actor.name] = tally;
    return Array.from({ length: actor.count }, () => perform(actor, stage, tally));
  });
  say({ kind: 'ready' });
  const progress = (): Report => ({ kind: 'progress', progress: { tallies, clean, asked } });
  const telling = setInterval(() => say(progress()), PROGRESS_MS);
  await stopped;
  await Promise.race([Promise.all(performing), delay(2 * TIMEOUT_MS)]);
  clearInterval(telling);
  agent.destroy();
  sessions.close();
  channels.close();
  say(progress());
  await said({ kind: 'ended' });
}
