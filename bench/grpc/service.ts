// The service that gRPC is measured with: one unary method whose messages are plain octets.
import type { MethodDefinition } from '@grpc/grpc-js';

const same = (message: Buffer): Buffer => message;

const echo: MethodDefinition<Buffer, Buffer> = {
  path: '/bench.Bench/Echo',
  requestStream: false,
  responseStream: false,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
};

export const BENCH_SERVICE = { echo } as const;

/** Octets of a message either way. A response's first octet is the identity of the endpoint. */
export const MESSAGE_BYTES = 40;
