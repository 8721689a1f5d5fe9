// Divides a load: each thread gets some of the connections to each server, and its part of the rate.
import type { LoadPlan, LoadTarget } from './plan.js';
import type { Portion } from './schedule.js';

/** What one thread sends to one server. */
export interface Share {
  readonly address: string;
  readonly port: number;
  /** The requests there, with weights. */
  readonly targets: readonly LoadTarget[];
  readonly connections: number;
  readonly portion: Portion;
}

/** Divides `count` by weights: each gets at least one if there are enough. */
export function divide(count: number, weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const parts = weights.map((weight) =>
    Math.max(count >= weights.length ? 1 : 0, Math.floor((count * weight) / total)),
  );
  const given = () => parts.reduce((sum, part) => sum + part, 0);
  const wants = (i: number) => (count * weights[i]) / total - parts[i];
  const order = weights.map((_, i) => i);
  while (given() < count) parts[order.reduce((a, b) => (wants(b) > wants(a) ? b : a))]++;
  while (given() > count) parts[order.filter((i) => parts[i] > 1).reduce((a, b) => (wants(b) < wants(a) ? b : a))]--;
  return parts;
}

/** Targets at the same address share connections. */
function servers(targets: readonly LoadTarget[]): LoadTarget[][] {
  const byAddress = new Map<string, LoadTarget[]>();
  for (const target of targets) {
    const key = `${target.address} ${target.port}`;
    byAddress.set(key, [...(byAddress.get(key) ?? []), target]);
  }
  return [...byAddress.values()];
}

/** The shares of each thread. A server with fewer connections than threads is served by some of them. */
export function sharesOf(plan: LoadPlan): Share[][] {
  const groups = servers(plan.targets);
  const weights = groups.map((targets) => targets.reduce((sum, { weight }) => sum + weight, 0));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const threads: Share[][] = Array.from({ length: plan.threads }, () => []);
  let number = 0;
  for (const [group, connections] of divide(plan.connections, weights).entries()) {
    const targets = groups[group];
    const each = divide(
      connections,
      threads.map(() => 1),
    );
    // Remainders of different servers go to different threads.
    const parts = each.map((_, thread) => each[(thread + group) % each.length]);
    let before = 0;
    for (const [thread, part] of parts.entries()) {
      if (part === 0) continue;
      const share = (weights[group] / total) * (part / connections);
      const portion = { share, offset: before, number: number++ };
      before += part / connections;
      const { address, port } = targets[0];
      threads[thread].push({ address, port, targets, connections: part, portion });
    }
  }
  return threads.filter((shares) => shares.length > 0);
}
