// gRPC for the Workload API. The library is loaded when that is wanted: it takes 8 MB, which a proxy without such an identity
// does not pay.
import { fileURLToPath } from 'node:url';
import type { ChannelOptions, MethodDefinition, ServiceDefinition, ServiceError } from '@grpc/grpc-js';
import { type IdentityFailure, IdentityProblem } from './source.js';

export type Grpc = typeof import('@grpc/grpc-js');

export interface GrpcService {
  readonly grpc: Grpc;
  method(name: string): MethodDefinition<object, object>;
}

/** Where a file of `proto/` is. Only files that are three folders deep say so: they are bundled into others of that depth (bundle.mjs). */
export const protoFile = (file: string): string => fileURLToPath(new URL(`../../../proto/${file}`, import.meta.url));

/** A service of a file in `proto/`. */
export async function grpcService(file: string, service: string): Promise<GrpcService> {
  const [grpc, { load }] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')]);
  const definition = await load(protoFile(file), { keepCase: true, longs: Number, defaults: true });
  const methods = definition[service] as unknown as ServiceDefinition;
  return { grpc, method: (name) => methods[name] as MethodDefinition<object, object> };
}

/** Each attempt has a channel of its own: the library's waits after failures are no part of ours, and nothing stays open in between. */
export const CHANNEL: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** How a call of `who` failed. */
export function callFailure(grpc: Grpc, who: string, error: ServiceError, timeoutMs: number): IdentityProblem {
  const { status } = grpc;
  const { code, details } = error;
  if (code === status.DEADLINE_EXCEEDED)
    return new IdentityProblem('timeout', `${who} did not answer within ${timeoutMs} ms (identity.timeout)`);
  if (code === status.UNAVAILABLE)
    return new IdentityProblem('unreachable', `${who} cannot be reached: ${cause(details)}`);
  const reason: IdentityFailure =
    code === status.PERMISSION_DENIED || code === status.UNAUTHENTICATED ? 'denied' : 'error';
  return new IdentityProblem(
    reason,
    `${who} refuses: ${details === '' ? 'without a reason' : details} (${status[code]})`,
  );
}

/** What the library says around it is nothing that an operator could use. */
function cause(details: string): string {
  const match = /Last error: (.*?)\.? ?(?:Resolution note: .*)?$/s.exec(details);
  return (match?.[1] ?? details).replace(/^Error: /, '');
}
