// What a proxy adds to a unary gRPC call between the official client and server.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import { direct } from '../../src/harness/subjects/subject.js';
import type { Bench } from '../bench.js';
import { grpcLoad, startGrpcEndpoint } from '../grpc/processes.js';
import { PROXY_CORE } from './http.js';
import { latencyBench } from './latency.js';

/** Client and server take some 200 µs of CPU a call between them, all on the load's core: a tenth of it. */
const CALLS_PER_SECOND = 500;

function unary(name: string, figure: 'p50' | 'p99'): Bench {
  return latencyBench({
    name,
    title: `gRPC unary with @grpc/grpc-js, ${figure} at ${CALLS_PER_SECOND} calls/s on one connection`,
    figure,
    bar: null,
    contenders: [sluice('sluice', 'uring'), haproxy(), direct],
    work: { kind: 'http', http2: 'both', workers: 1, cores: PROXY_CORE, connections: 1 },
    upstream: (session) => startGrpcEndpoint(session, { identity: 0, delayMs: 0 }),
    rate: CALLS_PER_SECOND,
    load: (session, { port }, seconds, rate) => grpcLoad(session, port, { seconds, rate, endpoints: 1 }),
  });
}

export const grpcUnary = unary('grpc-unary', 'p99');
