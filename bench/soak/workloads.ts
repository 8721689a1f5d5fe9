// All workloads, by the process that runs them. Those that use Node's own HTTP/2 have processes of their own, because it has crashed some.

import { FLOOD_WORKLOADS } from './flood-workloads.js';
import { GRPC_WORKLOADS } from './grpc-workloads.js';
import { HOSTILE_WORKLOADS, ROLLING_WORKLOADS } from './hostile-workloads.js';
import { HTTP1_WORKLOADS } from './http1-workloads.js';
import { BRIDGE_WORKLOADS, HTTP2_WORKLOADS } from './http2-workloads.js';
import type { Workload } from './workload.js';

export const WORKLOADS: Readonly<Record<string, readonly Workload[]>> = {
  http1: HTTP1_WORKLOADS,
  http2: HTTP2_WORKLOADS,
  bridge: BRIDGE_WORKLOADS,
  grpc: GRPC_WORKLOADS,
  hostile: HOSTILE_WORKLOADS,
  flood: FLOOD_WORKLOADS,
  rolling: ROLLING_WORKLOADS,
};

export const ALL_WORKLOADS: readonly Workload[] = Object.values(WORKLOADS).flat();
