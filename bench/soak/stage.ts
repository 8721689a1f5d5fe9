// What the soak's actors share.
import type { Agent } from 'node:http';
import type { Random } from '../random.js';
import type { Channels } from './grpc.js';
import type { Sessions } from './http2-client.js';

/**
 * Each has a service of the same name. What is rough is also aborted, by clients and by endpoints; the endpoints of what is rolling
 * restart one after the other.
 */
export const LISTENERS = [
  'web',
  'clean',
  'rough',
  'h2',
  'h2-rough',
  'grpc',
  'grpc-rough',
  'rolling',
  'rolling-h2',
] as const;
export type Listener = (typeof LISTENERS)[number];

/** What the clients of the clean listener have sent and received themselves. */
export interface CleanCount {
  sent: number;
  received: number;
}

/** What clients have asked of h2 and grpc, and what was answered with all that it should be. */
export interface Asked {
  requests: number;
  whole: number;
}

export interface Stage {
  readonly ports: Readonly<Record<Listener, number>>;
  readonly random: Random;
  readonly clean: CleanCount;
  readonly asked: Asked;
  readonly agent: Agent;
  readonly sessions: Sessions;
  readonly channels: Channels;
}

export interface Actor {
  readonly name: string;
  /** How many run at once. */
  readonly count: number;
  act(stage: Stage): Promise<void>;
}

/** Longer than any pause that the proxy is put through; shorter than a hang. */
export const PATIENCE_MS = 30_000;
/** `retry.replayBytes`, less what a head may take: a longer request that an endpoint refuses can't be sent again. */
export const REPLAYED_BYTES = 60 * 1024;
export const KIB = 1024;
export const MIB = 1024 * 1024;
