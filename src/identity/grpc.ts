// gRPC for the Workload API. The library is loaded on demand: it takes 8 MB.
import { fileURLToPath } from 'node:url';
import type { ChannelOptions, MethodDefinition, ServiceDefinition, ServiceError } from '@grpc/grpc-js';
import { type IdentityFailure, IdentityProblem } from './source.js';

export type Grpc = typeof import('@grpc/grpc-js');

export interface GrpcService {
  readonly grpc: Grpc;
  method(name: string): MethodDefinition<object, object>;
}

/** Path of a file in `proto/`. Only files three folders deep may use this: they are bundled into others of that depth (bundle.mjs). */
export const protoFile = (file: string): string => fileURLToPath(new URL(`../../../proto/${file}`, import.meta.url));

/** A service in a file of `proto/`. */
export async function grpcService(file: string, service: string): Promise<GrpcService> {
  const [grpc, { load }] = await Promise.all([import('@grpc/grpc-js'), import('@grpc/proto-loader')]);
  const definition = await load(protoFile(file), { keepCase: true, longs: Number, defaults: true });
  const methods = definition[service] as unknown as ServiceDefinition;
  return { grpc, method: (name) => methods[name] as MethodDefinition<object, object> };
}

/** Each attempt has its own channel: the library's backoff must not add to ours, and nothing stays open in between. */
export const CHANNEL: ChannelOptions = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
};

/** The problem for a failed call to `who`. */
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
    `${who} refuses: ${details === '' ? 'no reason given' : details} (${status[code]})`,
  );
}

/** The library's own wording around it does not help an operator. */
function cause(details: string): string {
  const match = /Last error: (.*?)\.? ?(?:Resolution note: .*)?$/s.exec(details);
  return (match?.[1] ?? details).replace(/^Error: /, '');
}
