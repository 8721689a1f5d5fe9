import { Balancer, ENDPOINT_STATE, POLICY } from '../../src/balance/balancer.js';

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
  balancer.configure(SERVICE, policy, 10_000, DEFAULT_RTT, PENALTY, failures, 1000, 60_000);
  balancer.setEndpoints(SERVICE, endpoints, 0);
  return balancer;
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
      balancer.finish(endpoint, at, behaviour.latencyMs, behaviour.fails);
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
    balancer.finish(endpoint, now, 1, true);
  }
}

export const good = { latencyMs: 5, fails: false };
