import { Balancer, POLICY } from '../../src/balance/balancer.js';
import { ENDPOINT_STATE } from '../../src/balance/breaker.js';
import { HEALTH_SIGNAL } from '../../src/balance/health-signals.js';

export const SERVICE = 1;
export const DEFAULT_RTT = 30;
export const PENALTY = 5000;
export const { READY, PROBATION, PROBING } = ENDPOINT_STATE;

export function balancerOf(
  endpoints: readonly number[],
  policy: number = POLICY.EWMA,
  failures = 7,
  seed = 1,
): Balancer {
  const balancer = new Balancer(4, 64, seed);
  balancer.configure(SERVICE, policy, 10_000, DEFAULT_RTT, PENALTY, failures, 1000, 60_000, 0);
  balancer.setEndpoints(SERVICE, endpoints, 0);
  return balancer;
}

/** A request that was begun during `ejections`, by default the present one, is over: its response came, or it failed. */
export function finish(
  balancer: Balancer,
  endpoint: number,
  now: number,
  latencyMs: number,
  fails: boolean,
  ejections = stayOf(balancer, endpoint),
): void {
  balancer.responded(
    endpoint,
    now,
    Math.round(latencyMs * 1000),
    fails ? HEALTH_SIGNAL.ERROR : HEALTH_SIGNAL.SUCCESS,
    ejections,
  );
  balancer.ended(endpoint);
}

/** What `begin` gives at present. */
export function stayOf(balancer: Balancer, endpoint: number): number {
  const ejections = balancer.begin(endpoint);
  balancer.ended(endpoint);
  return ejections;
}

export interface Behaviour {
  latencyMs: number;
  fails: boolean;
}

/** `count` requests at the given rate; answers arrive after their latency. Picks by endpoint, and unplaced requests. */
export function simulate(
  balancer: Balancer,
  behaviours: ReadonlyMap<number, Behaviour>,
  count: number,
  everyMs: number,
  startMs = 0,
): Map<number, number> {
  const picks = new Map<number, number>();
  let pending: { endpoint: number; at: number; behaviour: Behaviour }[] = [];
  for (let i = 0; i < count; i++) {
    const now = startMs + i * everyMs;
    for (const { endpoint, at, behaviour } of pending.filter((answer) => answer.at <= now)) {
      finish(balancer, endpoint, at, behaviour.latencyMs, behaviour.fails);
    }
    pending = pending.filter((answer) => answer.at > now);
    const endpoint = balancer.pickRequest(SERVICE, now, -1);
    picks.set(endpoint, (picks.get(endpoint) ?? 0) + 1);
    const behaviour = behaviours.get(endpoint);
    if (behaviour === undefined) continue;
    balancer.begin(endpoint);
    pending.push({ endpoint, at: now + behaviour.latencyMs, behaviour });
  }
  return picks;
}

/** Trips the breaker of an endpoint with failures at `now`. */
export function trip(balancer: Balancer, endpoint: number, now: number, failures = 7): void {
  for (let i = 0; i < failures; i++) {
    balancer.begin(endpoint);
    finish(balancer, endpoint, now, 1, true);
  }
}

export const good = { latencyMs: 5, fails: false };
