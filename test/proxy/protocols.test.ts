// What is learned of the versions of HTTP that an endpoint speaks.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KNOWN, Protocols, SERVICE_PROTOCOL, VERSION } from '../../src/proxy/connect/protocols.js';

const ENDPOINT = 3;
const SERVICE = 0;

function protocols(): Protocols {
  return new Protocols({
    values: new Float64Array(1),
    reactor: { now: 1 },
    services: { protocol: new Uint8Array([SERVICE_PROTOCOL.AUTO]) },
    endpoints: { base: new Int32Array(8), hasOwnSeries: () => false },
  });
}

describe('versions that an endpoint speaks', () => {
  for (const [version, other] of [
    [VERSION.HTTP1, VERSION.HTTP2],
    [VERSION.HTTP2, VERSION.HTTP1],
  ] as const) {
    it(`one that refuses HTTP/${version} is asked by HTTP/${other}, even if it refused that before`, () => {
      const known = protocols();
      known.learn(ENDPOINT, other, KNOWN.REFUSED);
      assert.equal(known.choose(SERVICE, ENDPOINT, other), version);
      known.learn(ENDPOINT, version, KNOWN.REFUSED);
      for (const wanted of [version, other]) assert.equal(known.choose(SERVICE, ENDPOINT, wanted), other);
    });
  }
});
