// The shutdown sequence: not ready, hold, no more connections, grace. With `drain.outbound: last`, inbound listeners drain first; outbound
// ones serve the application until it is gone.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config, ListenerConfig } from '../config/model.js';
import type { DrainMessage } from '../proxy/snapshot.js';

/** How often to check whether the application is still there, ms. */
const POLL_MS = 250;
/** Time for unused connections to end after that, ms. */
const UNUSED_GRACE_MS = 1000;

export interface DrainDeps {
  readonly config: Config;
  readonly logger: {
    info(message: string, fields?: Record<string, unknown>): void;
    warn(message: string, fields?: Record<string, unknown>): void;
  };
  /** Resolves when the workers have nothing open. */
  readonly done: Promise<void>;
  send(message: DrainMessage): void;
  slotOf(listener: ListenerConfig): number;
  /** Whether others in this network namespace have sockets; null: unknown. */
  othersHaveSockets(): boolean | null;
  /** Whether everything was ended in the meantime. */
  ended(): boolean;
}

/** Slots of the listeners that drain first; empty: all drain together. */
function inboundOf({ config, slotOf }: DrainDeps): number[] {
  const outbound = config.listeners.filter(({ direction }) => direction === 'outbound');
  if (config.drain.outbound !== 'last' || outbound.length === 0) return [];
  return config.listeners.filter(({ direction }) => direction !== 'outbound').map(slotOf);
}

/** Resolves when nobody else has a socket here, or when `late` does. */
async function applicationGone(deps: DrainDeps, late: Promise<boolean>): Promise<void> {
  let over = false;
  void late.then(() => {
    over = true;
  });
  while (!over && !deps.ended()) {
    const there = deps.othersHaveSockets();
    if (there === null) deps.logger.warn('drain: cannot tell whether the application has ended; not waiting for it');
    if (there !== true) return;
    await Promise.race([sleep(POLL_MS), late]);
  }
}

/** Drains; resolves with whether everything ended by itself. */
export async function drain(deps: DrainDeps, holdMs: number): Promise<boolean> {
  const { logger, config, done } = deps;
  const { graceMs } = config.drain;
  const first = inboundOf(deps);
  const all = { kind: 'drain', listeners: null } as const;
  const begins = first.length === 0 ? all : ({ kind: 'drain', listeners: first } as const);
  logger.info('drain: no longer ready', { holdMs, graceMs });
  deps.send({ ...begins, phase: 'hold' });
  if (holdMs > 0) await sleep(holdMs);
  if (deps.ended()) return false;
  deps.send({ ...begins, phase: 'stop' });
  const late = sleep(graceMs, false, { ref: false });
  if (begins !== all) {
    logger.info('drain: inbound listeners closed; outbound ones stay open until the application has ended');
    await applicationGone(deps, late);
    if (deps.ended()) return false;
    deps.send({ ...all, phase: 'stop' });
  }
  logger.info('drain: listeners closed; waiting for what is open');
  // If the application outlived the grace, unused connections still end in order.
  const ending = begins === all ? late : late.then(() => sleep(UNUSED_GRACE_MS, false, { ref: false }));
  const complete = await Promise.race([done.then(() => true), ending]);
  if (!complete && !deps.ended()) logger.warn('drain: grace is over; closing what is left', { graceMs });
  return complete;
}
