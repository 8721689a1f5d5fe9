import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_NAMES, type PossibleNames, possibleNames } from '../../src/identity/possible-names.js';
import { W } from '../../src/metrics/layout.js';
import { PEEK, TlsPeek } from '../../src/proxy/accept/tls-peek.js';
import type { SocketSlot } from '../../src/proxy/slots.js';
import type { TlsProfile } from '../../src/tls/profile.js';
import { hello, padding, records, serverName } from '../tls/hellos.js';
import { listener } from './destinations-support.js';

const OURS = 'web.default.serviceaccount.identity.mesh.example';
const CLIENT = 0 as SocketSlot;
const MESH = 1;
const PLAIN = 2;

const profile = (names: readonly string[]): TlsProfile => ({
  slot: 5,
  generation: 1,
  role: 'server',
  certificates: [{ chain: '', key: '', names }],
  anchors: [],
  clientCertificate: 'optional',
  minVersion: '1.3',
  alpn: [],
  tickets: false,
  serverName: null,
  wholeNames: true,
});

/** A client whose bytes come in pieces, each in a buffer of its own. */
class Client {
  readonly values = new Float64Array(W.SIZE);
  readonly layer = new Uint8Array(1);
  readonly listener = new Int16Array([MESH]);
  readonly named: string[] = [];
  readonly peek: TlsPeek;
  private readonly bytes = new Uint8Array(1 << 17);
  private readonly ends: number[] = [0];

  constructor(meshServer = 5, possible: PossibleNames = NO_NAMES) {
    this.peek = new TlsPeek({
      connections: { listener: this.listener, identified: () => undefined },
      sockets: { capacity: 1, layer: this.layer },
      inbox: {
        first: () => (this.ends.length > 1 ? 0 : -1),
        following: (bid) => (bid + 2 < this.ends.length ? bid + 1 : -1),
        startOf: (bid) => this.ends[bid],
        endOf: (bid) => this.ends[bid + 1],
      },
      bytes: this.bytes,
      values: this.values,
    });
    this.peek.foreignName = (name) => this.named.push(name);
    this.peek.configure({
      listeners: [listener(MESH, { mesh: true }), listener(PLAIN)],
      tls: [profile([OURS])],
      meshServer,
      possibleNames: possible,
    });
    this.peek.begin(CLIENT);
  }

  /** What is thought of it after each piece. */
  say(bytes: Uint8Array, size = bytes.length): number {
    let verdict: number = PEEK.MORE;
    for (let at = 0; at < bytes.length && verdict === PEEK.MORE; at += size) {
      const start = this.ends[this.ends.length - 1];
      const piece = bytes.subarray(at, at + size);
      this.bytes.set(piece, start);
      if (this.peek.isReading(CLIENT)) this.peek.read(CLIENT, start, start + piece.length);
      this.ends.push(start + piece.length);
      verdict = this.peek.verdict(CLIENT);
    }
    return verdict;
  }
}

describe('a look at the ClientHello', () => {
  for (const size of [1, 7, 100, 100_000]) {
    it(`finds our name, whatever its case, in pieces of ${size} octets`, () => {
      assert.equal(new Client().say(records(hello([padding(50), serverName(OURS)])), size), PEEK.TERMINATE);
      assert.equal(new Client().say(records(hello([serverName(OURS.toUpperCase())]), 20), size), PEEK.TERMINATE);
    });

    it(`leaves all other TLS alone, in pieces of ${size} octets`, () => {
      const others = new Client();
      assert.equal(others.say(records(hello([serverName('Web.example')])), size), PEEK.PASS_THROUGH);
      assert.deepEqual(others.named, ['web.example']);
      const nobody = new Client();
      assert.equal(nobody.say(records(hello([])), size), PEEK.PASS_THROUGH);
      assert.deepEqual(nobody.named, ['']);
      const unreadable = new Client();
      assert.equal(unreadable.say(Buffer.from([22, 3, 1, 0, 0]), size), PEEK.PASS_THROUGH);
      assert.equal(unreadable.values[W.HELLOS_UNREADABLE], 1);
    });
  }

  it('waits for the rest of a hello', () => {
    const client = new Client();
    assert.equal(client.say(records(hello([serverName(OURS)])).subarray(0, 60)), PEEK.MORE);
    assert.ok(client.peek.isReading(CLIENT));
  });

  it('takes workloads that are asked for by name for us while there is no identity, and nobody else', () => {
    const client = new Client(0);
    assert.equal(client.say(records(hello([serverName(OURS)]))), PEEK.TERMINATE);
    assert.deepEqual(client.named, []);
    const other = new Client(0);
    assert.equal(other.say(records(hello([serverName('web.example')]))), PEEK.PASS_THROUGH);
    assert.deepEqual(other.named, ['web.example']);
  });

  it('takes what the configuration says of our names for us while there is no identity', () => {
    const asks = (name: string, identity: Parameters<typeof possibleNames>[0], meshServer = 0): number =>
      new Client(meshServer, possibleNames(identity)).say(records(hello([serverName(name)])));
    const NOTHING = { name: null, serverName: null, trustDomain: null };
    const spiffe = { ...NOTHING, name: 'spiffe://example.org/shop/Web', serverName: 'own.example' };
    const domain = { ...NOTHING, trustDomain: 'cluster.local' };
    for (const [name, identity] of [
      ['web.shop.example.org', spiffe],
      ['own.example', spiffe],
      ['web.sa.shop.ns.example.org', NOTHING],
      ['web.shop.cluster.local', domain],
      [OURS, spiffe],
    ] as const)
      assert.equal(asks(name, identity), PEEK.TERMINATE, name);
    for (const [name, identity] of [
      ['cart.shop.example.org', spiffe],
      ['app.example', spiffe],
      ['web.shop.example.org', NOTHING],
      ['web.shop.svc.cluster.local', domain],
      ['cluster.local', domain],
      ['web.ns.example.org', NOTHING],
      ['web.shop.example.org', null],
    ] as const)
      assert.equal(asks(name, identity), PEEK.PASS_THROUGH, name);
    // With one it says itself which names are ours.
    assert.equal(asks('web.shop.example.org', spiffe, 5), PEEK.PASS_THROUGH);
  });

  it('is for listeners of the mesh, and not for TLS inside of TLS', () => {
    const client = new Client();
    assert.ok(client.peek.applies(CLIENT));
    client.layer[0] = 1;
    assert.ok(!client.peek.applies(CLIENT));
    client.layer[0] = 0;
    client.listener[0] = PLAIN;
    assert.ok(!client.peek.applies(CLIENT));
  });
});
