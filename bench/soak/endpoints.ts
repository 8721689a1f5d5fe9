// Endpoints of the soak's services. Those of h2 and grpc do nothing that a client need see; the rough ones do everything else.
import type { Random } from '../random.js';
import { type GrpcFaults, GrpcUpstream } from './grpc.js';
import { type Http2Faults, Http2Upstream } from './http2-upstreams.js';
import type { EndpointsRole } from './messages.js';
import { restartInTurn } from './rolling.js';
import { httpUpstream, listen, tcpUpstream } from './upstreams.js';

export const FAULTS = {
  h2: [{}, { slow: 30 }, { refuses: 0.03, leaves: 1500 }],
  'h2-rough': [{ slow: 10 }, { refuses: 0.05, resets: 0.1, leaves: 1000 }, { resets: 0.02, dies: 4000 }],
  grpc: [{}, { slow: 30, maxAge: 1500 }],
  'grpc-rough': [{ slow: 10, fails: 0.02 }, { maxAge: 1000, grace: 20 }, { dies: 4000 }],
} satisfies Record<string, readonly (Http2Faults & GrpcFaults)[]>;

/** They end with their process. */
export async function startEndpoints(
  services: EndpointsRole['services'],
  firstFault: number,
  random: Random,
): Promise<void> {
  for (const { service, ports } of services) {
    if (service === 'rolling' || service === 'rolling-h2') {
      await restartInTurn(ports, service === 'rolling-h2', random);
      continue;
    }
    for (const [i, port] of ports.entries()) {
      if (service === 'web' || service === 'clean' || service === 'rough') {
        await listen(service === 'web' ? httpUpstream() : tcpUpstream(), port);
        continue;
      }
      const faults = FAULTS[service][firstFault + i] ?? {};
      const upstream =
        service === 'h2' || service === 'h2-rough'
          ? new Http2Upstream(port, random, faults)
          : new GrpcUpstream(port, random, faults);
      await upstream.start();
    }
  }
}
