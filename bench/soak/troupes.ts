// All actors, by the process that they are in. Those of Node's own HTTP/2 are apart from the others: it has ended processes.
import { ACTORS } from './actors.js';
import { FLOOD_ACTORS } from './flood-actors.js';
import { GRPC_ACTORS } from './grpc-actors.js';
import { HOSTILE_ACTORS, ROLLING_ACTORS } from './hostile-actors.js';
import { BRIDGE_ACTORS, HTTP2_ACTORS } from './http2-actors.js';
import type { Actor } from './stage.js';

export const TROUPES: Readonly<Record<string, readonly Actor[]>> = {
  http1: ACTORS,
  http2: HTTP2_ACTORS,
  bridge: BRIDGE_ACTORS,
  grpc: GRPC_ACTORS,
  hostile: HOSTILE_ACTORS,
  flood: FLOOD_ACTORS,
  rolling: ROLLING_ACTORS,
};

export const ALL_ACTORS: readonly Actor[] = Object.values(TROUPES).flat();
