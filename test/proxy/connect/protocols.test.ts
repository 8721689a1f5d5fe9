import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { E } from '../../../src/metrics/layout.js';
import { KNOWN, Protocols, SERVICE_PROTOCOL, VERSION } from '../../../src/proxy/connect/protocols.js';

const SERVICE = 1;
const ENDPOINT = 5;
const OTHER = 6;
const { HTTP1, HTTP2 } = VERSION;
const TEN_MINUTES = 600_000;

class World {
  readonly values = new Float64Array(E.SIZE);
  readonly reactor = { now: 1000 };
  readonly services = { protocol: new Uint8Array(4) };
  ownSeries = true;
  readonly protocols = new Protocols({
    values: this.values,
    reactor: this.reactor,
    services: this.services,
    endpoints: { base: new Int32Array(8), hasOwnSeries: () => this.ownSeries },
  });

  choose(wanted: number, endpoint = ENDPOINT): number {
    return this.protocols.choose(SERVICE, endpoint, wanted);
  }
}

describe('what endpoints are known to speak', () => {
  it('is nothing at first, and then what was seen, each version and each endpoint for itself', () => {
    const { protocols } = new World();
    for (const version of [HTTP1, HTTP2]) {
      assert.equal(protocols.unknown(ENDPOINT, version), true);
      assert.equal(protocols.spoken(ENDPOINT, version), false);
    }
    protocols.learn(ENDPOINT, HTTP2, KNOWN.SPOKEN);
    assert.equal(protocols.spoken(ENDPOINT, HTTP2), true);
    assert.equal(protocols.unknown(ENDPOINT, HTTP2), false);
    assert.equal(protocols.unknown(ENDPOINT, HTTP1), true);
    assert.equal(protocols.unknown(OTHER, HTTP2), true);
    protocols.learn(ENDPOINT, HTTP1, KNOWN.REFUSED);
    assert.equal(protocols.spoken(ENDPOINT, HTTP1), false);
    assert.equal(protocols.unknown(ENDPOINT, HTTP1), false);
    assert.equal(protocols.spoken(ENDPOINT, HTTP2), true);
  });

  it('is forgotten when the slot means another endpoint', () => {
    const { protocols, values } = new World();
    protocols.learn(ENDPOINT, HTTP1, KNOWN.SPOKEN);
    protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED);
    protocols.forget(ENDPOINT);
    assert.equal(protocols.unknown(ENDPOINT, HTTP1), true);
    assert.equal(protocols.unknown(ENDPOINT, HTTP2), true);
    assert.equal(values[E.PROTOCOL], 0);
  });

  it('is shown of an endpoint that has a series of its own', () => {
    const world = new World();
    const { protocols, values } = world;
    protocols.learn(ENDPOINT, HTTP1, KNOWN.SPOKEN);
    assert.equal(values[E.PROTOCOL], HTTP1);
    protocols.learn(ENDPOINT, HTTP2, KNOWN.SPOKEN);
    assert.equal(values[E.PROTOCOL], HTTP1 | HTTP2);
    protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED);
    assert.equal(values[E.PROTOCOL], HTTP1);
    world.ownSeries = false;
    protocols.learn(ENDPOINT, HTTP2, KNOWN.SPOKEN);
    assert.equal(values[E.PROTOCOL], HTTP1);
  });
});

describe('the version in which a request goes', () => {
  it('is what the service says that its endpoints speak, whatever was seen', () => {
    const world = new World();
    for (const [declared, version] of [
      [SERVICE_PROTOCOL.HTTP1, HTTP1],
      [SERVICE_PROTOCOL.HTTP2, HTTP2],
    ] as const) {
      world.services.protocol[SERVICE] = declared;
      world.protocols.learn(ENDPOINT, version, KNOWN.REFUSED);
      world.protocols.learn(ENDPOINT, 3 - version, KNOWN.SPOKEN);
      assert.equal(world.choose(HTTP1), version);
      assert.equal(world.choose(HTTP2), version);
    }
  });

  it("is its client's where nothing else is known to be needed", () => {
    const world = new World();
    for (const declared of [SERVICE_PROTOCOL.AUTO, SERVICE_PROTOCOL.OPAQUE]) {
      world.services.protocol[SERVICE] = declared;
      assert.equal(world.choose(HTTP1), HTTP1);
      assert.equal(world.choose(HTTP2), HTTP2);
    }
    world.services.protocol[SERVICE] = SERVICE_PROTOCOL.AUTO;
    // That it speaks the one does not say that it does not speak the other.
    world.protocols.learn(ENDPOINT, HTTP1, KNOWN.SPOKEN);
    assert.equal(world.choose(HTTP2), HTTP2);
  });

  it('is the other where the endpoint has refused it, and the one refused first where it has refused both since', () => {
    const world = new World();
    world.protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED);
    assert.equal(world.choose(HTTP2), HTTP1);
    assert.equal(world.choose(HTTP1), HTTP1);
    assert.equal(world.choose(HTTP2, OTHER), HTTP2);
    // Whoever goes over to the other version because of this must not be sent back.
    world.protocols.learn(ENDPOINT, HTTP1, KNOWN.REFUSED);
    assert.equal(world.choose(HTTP2), HTTP2);
    assert.equal(world.choose(HTTP1), HTTP2);
  });

  it('is asked for again ten minutes after the last refusal', () => {
    const world = new World();
    const { reactor, protocols } = world;
    protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED);
    reactor.now += TEN_MINUTES - 1;
    assert.equal(world.choose(HTTP2), HTTP1);
    // A refusal anew counts from now on.
    protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED);
    reactor.now += TEN_MINUTES - 1;
    assert.equal(world.choose(HTTP2), HTTP1);
    reactor.now += 1;
    assert.equal(world.choose(HTTP2), HTTP2);
    // It is not unknown for that: what was spoken or refused is told apart from what was never tried.
    assert.equal(protocols.unknown(ENDPOINT, HTTP2), false);
  });
});

describe('a refusal that may have been an accident', () => {
  it('holds for 5 s, for twice as long each time it is repeated, and never longer than any other', () => {
    const world = new World();
    const { protocols, reactor } = world;
    for (const seconds of [5, 10, 20, 40, 80, 160, 320, 600, 600]) {
      protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED, true);
      reactor.now += seconds * 1000 - 1;
      assert.equal(world.choose(HTTP2), HTTP1, `${seconds} s`);
      reactor.now += 1;
      assert.equal(world.choose(HTTP2), HTTP2, `${seconds} s`);
    }
    protocols.learn(ENDPOINT, HTTP2, KNOWN.SPOKEN);
    protocols.learn(ENDPOINT, HTTP2, KNOWN.REFUSED, true);
    reactor.now += 5000;
    assert.equal(world.choose(HTTP2), HTTP2);
  });

  it('is put to the test, where it is of HTTP/1, by what is easily sent again', () => {
    const world = new World();
    const { protocols, reactor } = world;
    protocols.learn(ENDPOINT, HTTP2, KNOWN.SPOKEN);
    protocols.learn(ENDPOINT, HTTP1, KNOWN.REFUSED);
    reactor.now += TEN_MINUTES;
    assert.equal(protocols.choose(SERVICE, ENDPOINT, HTTP1, false), HTTP2);
    assert.equal(protocols.choose(SERVICE, ENDPOINT, HTTP1, true), HTTP1);
  });
});

describe('what an endpoint makes of a version', () => {
  it('is uncertain before it was seen, when that is long ago, and not while it has refused it', () => {
    const world = new World();
    const { protocols, reactor } = world;
    protocols.expiryMs = 1000;
    assert.equal(protocols.uncertain(ENDPOINT, HTTP1), true);
    protocols.learn(ENDPOINT, HTTP1, KNOWN.SPOKEN);
    reactor.now += 999;
    protocols.learn(ENDPOINT, HTTP1, KNOWN.SPOKEN);
    reactor.now += 999;
    assert.equal(protocols.uncertain(ENDPOINT, HTTP1), false);
    reactor.now += 1;
    assert.equal(protocols.uncertain(ENDPOINT, HTTP1), true);
    protocols.learn(ENDPOINT, HTTP1, KNOWN.REFUSED);
    assert.equal(protocols.uncertain(ENDPOINT, HTTP1), false);
    reactor.now += 1000;
    assert.equal(protocols.uncertain(ENDPOINT, HTTP1), true);
  });
});

describe('an endpoint that greets nobody', () => {
  it('speaks HTTP/2, because its service says so or because it was seen to', () => {
    const world = new World();
    const { protocols, services } = world;
    const only = (declared: number): boolean => {
      services.protocol[SERVICE] = declared;
      return protocols.onlyHttp2(SERVICE, ENDPOINT);
    };
    const { AUTO, HTTP1: ONE, HTTP2: TWO, OPAQUE } = SERVICE_PROTOCOL;
    assert.deepEqual([AUTO, ONE, TWO, OPAQUE].map(only), [false, false, true, false]);
    protocols.learn(ENDPOINT, HTTP2, KNOWN.SPOKEN);
    assert.deepEqual([AUTO, ONE, TWO, OPAQUE].map(only), [true, false, true, false]);
  });
});
