// An open-loop gRPC client with one connection: call i is made at i / RATE seconds, whatever became of the others. Prints a JSON line.
//   node dist/bench/grpc/client.js PORT ENDPOINTS SECONDS RATE

import { setTimeout as delay } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { percentile } from '../../src/harness/statistics.js';
import { BENCH_SERVICE, MESSAGE_BYTES } from './service.js';

/** For compilers and balancers: what comes before counts neither as time nor as work. */
const WARM_UP_SECONDS = 1.5;
const DEADLINE_MS = 10_000;

const [port, endpoints, seconds, rate] = process.argv.slice(2).map(Number);
const { path, requestSerialize, responseDeserialize } = BENCH_SERVICE.echo;
const request = Buffer.alloc(MESSAGE_BYTES, 'r');
const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());

interface Tally {
  /** Calls by endpoint. */
  readonly calls: number[];
  /**
   * µs from the call to its answer. Not from when it was due: timers of Node wake a millisecond late, which is the client's own and
   * would be most of what is measured.
   */
  readonly latencies: number[];
  readonly failures: Map<string, number>;
}

function call(tally: Tally): Promise<void> {
  return new Promise((resolve) => {
    const start = performance.now();
    const options = { deadline: Date.now() + DEADLINE_MS };
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, options, (error, response) => {
      if (error || response === undefined || response.length !== MESSAGE_BYTES || !(response[0] < endpoints)) {
        const reason = error?.message ?? 'a wrong response';
        tally.failures.set(reason, (tally.failures.get(reason) ?? 0) + 1);
      } else {
        tally.latencies.push((performance.now() - start) * 1000);
        tally.calls[response[0]]++;
      }
      resolve();
    });
  });
}

async function traffic(duration: number): Promise<Tally & { readonly seconds: number }> {
  const tally: Tally = { calls: new Array<number>(endpoints).fill(0), latencies: [], failures: new Map() };
  const calls: Promise<void>[] = [];
  const total = Math.round(duration * rate);
  const start = performance.now();
  while (calls.length < total) {
    while (calls.length < total && (calls.length * 1000) / rate <= performance.now() - start) calls.push(call(tally));
    await delay(1);
  }
  await Promise.all(calls);
  return { ...tally, seconds: (performance.now() - start) / 1000 };
}

await new Promise<void>((resolve, reject) =>
  client.waitForReady(Date.now() + 5000, (error) => (error ? reject(error) : resolve())),
);
await traffic(WARM_UP_SECONDS);
const { calls, latencies, failures, seconds: took } = await traffic(seconds);
latencies.sort((a, b) => a - b);
for (const [reason, count] of failures) process.stderr.write(`${count} × ${reason}\n`);
const line = {
  units: latencies.length,
  errors: [...failures.values()].reduce((sum, count) => sum + count, 0),
  seconds: took,
  mean: latencies.reduce((sum, value) => sum + value, 0) / Math.max(1, latencies.length),
  p50: percentile(latencies, 0.5),
  p99: percentile(latencies, 0.99),
  p999: percentile(latencies, 0.999),
  calls,
};
process.stdout.write(`${JSON.stringify(line)}\n`);
client.close();
