// What the soak's clients do, and what they share.
import type { Agent } from 'node:http';
import type { Random } from '../random.js';
import type { Channels } from './grpc.js';
import type { Sessions } from './http2-client.js';
import type { Listener } from './listeners.js';

/** Bytes that the clients of the clean listener have sent and received. */
export interface ByteCount {
  sent: number;
  received: number;
}

/** Requests to h2 and grpc, and how many of them were answered completely. */
export interface RequestCount {
  requests: number;
  complete: number;
}

export interface ClientContext {
  readonly ports: Readonly<Record<Listener, number>>;
  readonly random: Random;
  readonly clean: ByteCount;
  readonly requestCount: RequestCount;
  readonly agent: Agent;
  readonly sessions: Sessions;
  readonly channels: Channels;
}

export interface Workload {
  readonly name: string;
  /** Number of clients that run it at once. */
  readonly concurrency: number;
  run(context: ClientContext): Promise<void>;
}
