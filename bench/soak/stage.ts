// What the soak's actors share.
import type { Agent } from 'node:http';
import type { Random } from '../random.js';
import type { Channels } from './grpc.js';
import type { Sessions } from './http2-client.js';
import type { Listener } from './listeners.js';

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
