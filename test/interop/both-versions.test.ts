// Endpoints that speak both versions of HTTP and WebSocket, in any order of clients: nobody's version is forced on others.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startGateway, tearDown } from '../support/gateway.js';
import type { RealServer } from '../support/servers.js';
import { availableExecutors } from '../support/sluice.js';
import { type Language, lacking, peerClient, peerServer, stopPeers } from './peers.js';

/** h: GET by HTTP/1, g: gRPC, w: WebSocket, k: GET by HTTP/2, p: POST of 50 KB by HTTP/1. */
const ORDERS = {
  go: ['hgwhgw', 'hwghwg', 'ghwghw', 'gwhgwh', 'whgwhg', 'wghwgh', 'kwkhpgp'],
  java: ['hkphkp', 'kphkph', 'pkhpkh'],
  python: ['hkwphkw', 'khwpkhw', 'whkpwhk', 'wkhpwkh', 'kwhpkwh'],
} as const;
const KINDS: readonly (readonly [name: string, language: Language, ...args: string[]])[] = [
  ['a Go server', 'go', 'serve', 'dual'],
  ['Undertow', 'java', 'undertow'],
  ['Tomcat', 'java', 'tomcat'],
  ['hypercorn', 'python', 'hypercorn'],
];

after(tearDown);
after(stopPeers);

for (const [which, io] of (await availableExecutors()).entries()) {
  for (const [name, language, ...args] of KINDS) {
    const skip = lacking(language) || lacking('go');
    describe(`${name} speaks both versions, on ${io}`, { skip, concurrency: 4 }, () => {
      let server: RealServer & { readonly address: string };

      before(async () => {
        server = await peerServer(language, ...args);
      });
      after(() => server.stop());

      // What is known of an endpoint lies above the executors: all orders on one of them.
      for (const order of ORDERS[language].slice(0, which === 0 ? undefined : 1)) {
        it(`serves ${order}`, async () => {
          const sluice = await startGateway(io, [server.address], { speaks: 'auto' });
          const said = await peerClient<string[]>('go', 'orders', `127.0.0.1:${sluice.port('edge')}`, order);
          assert.deepEqual(
            said,
            Array.from(order, () => 'ok'),
          );
          assert.equal(await sluice.stop(), 0);
        });
      }
    });
  }
}
