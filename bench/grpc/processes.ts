// The official gRPC client and server as processes on the load's core.
import { join } from 'node:path';
import { outputRoot } from '../../src/harness/paths.js';
import { type LatencyLoad, parseLoad, withLatency } from '../load.js';
import type { Session } from '../session.js';

export interface GrpcLoad extends LatencyLoad {
  /** Answers by the endpoint's identity. */
  readonly calls: readonly number[];
}

const program = (name: string): string[] => [process.execPath, join(outputRoot, 'bench/grpc', `${name}.js`)];

/** A server that answers after `delayMs` and says its `identity`, 0 to 255. Returns its port. */
export async function startGrpcEndpoint(
  session: Session,
  { identity, delayMs }: { readonly identity: number; readonly delayMs: number },
): Promise<number> {
  const port = await session.port();
  const command = [...program('endpoint'), port, identity, delayMs].map(String);
  const started = session.start(`endpoint ${identity}`, String(session.loadCore), command);
  await session.listening(started, port);
  return port;
}

/** Unary calls in an open loop on one connection, after a warm-up of its own. Identities are below `endpoints`. */
export async function grpcLoad(
  session: Session,
  port: number,
  options: { readonly seconds: number; readonly rate: number; readonly endpoints: number },
): Promise<GrpcLoad> {
  const { seconds, rate, endpoints } = options;
  const command = [...program('client'), port, endpoints, seconds, rate].map(String);
  const load = withLatency(parseLoad(await session.run('gRPC client', command)));
  if (!hasCalls(load)) throw new Error('the gRPC client did not say who answered');
  return load;
}

function hasCalls(load: LatencyLoad): load is GrpcLoad {
  return 'calls' in load && Array.isArray(load.calls);
}
