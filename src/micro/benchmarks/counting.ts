// Work per request other than processing bytes: picking an endpoint, recording a latency.
import { Balancer, POLICY } from '../../balance/balancer.js';
import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { workerHistogram } from '../../metrics/layout.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../metrics/shared.js';
import type { MicroBenchmark } from '../benchmark.js';

const ENDPOINTS = 8;

export const pick: MicroBenchmark = {
  name: 'ewma-pick',
  what: `an endpoint of ${ENDPOINTS} is picked, and its latency learned`,
  prepare: () => {
    const balancer = new Balancer(2, ENDPOINTS, 1);
    balancer.configure(0, POLICY.EWMA, 10_000, 30, 5000, 5, 1000, 60_000, 0);
    balancer.setEndpoints(
      0,
      Array.from({ length: ENDPOINTS }, (_, endpoint) => endpoint),
      0,
    );
    let now = 0;
    return {
      run(times) {
        let sum = 0;
        for (let i = 0; i < times; i++) {
          now++;
          const endpoint = balancer.pickRequest(0, now, -1);
          const ejections = balancer.begin(endpoint);
          balancer.responded(endpoint, now, 500 + (i & 255), HEALTH_SIGNAL.SUCCESS, ejections);
          balancer.ended(endpoint);
          sum += endpoint;
        }
        return sum;
      },
    };
  },
};

export const record: MicroBenchmark = {
  name: 'histogram-record',
  what: 'a latency between 0.1 and 6.6 ms is recorded',
  prepare: () => {
    const metrics = new WorkerMetrics(allocateWorkerMemory(8));
    const histogram = workerHistogram(0);
    let value = 1;
    return {
      run(times) {
        for (let i = 0; i < times; i++) {
          // A generator with a period of 65,536: values that no branch predictor knows.
          value = (value * 25_173 + 13_849) & 0xffff;
          metrics.record(histogram, 100 + ((value * 13) >> 7));
        }
        return metrics.values[0] + value;
      },
    };
  },
};
