// Who a client is by its certificate, in requests of both versions, whatever it says of itself.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isMeshName } from '../../src/http/mesh-names.js';
import { ascii } from '../../src/http/octets.js';
import { writeRequest } from '../../src/http1/write.js';
import { MeshFields } from '../../src/proxy/mesh-fields.js';
import { TlsPeers } from '../../src/tls/peers.js';
import { Bench, type Field, TIMES } from '../translate/support.js';

const FIXED_AT = 600_000;
const WEB = 'web.front.serviceaccount.identity.linkerd.cluster.local';
const SPIFFE = 'spiffe://example.org/ns/front/sa/web';
/** Its listener is not guarded. */
const STRANGER = 0;
const CLIENT = 1;
const OTHER = 2;

class World {
  readonly bench = new Bench();
  readonly peers = new TlsPeers(4);
  readonly fields: MeshFields;

  constructor() {
    const { bytes } = this.bench;
    const slab = { bytes, fixed: () => FIXED_AT };
    this.fields = new MeshFields({ slab, peers: this.peers, connections: { listener: new Int16Array([1, 3, 3]) } });
    assert.equal(this.fields.active, false);
    this.fields.configure([
      { slot: 1, meshHeaders: false },
      { slot: 3, meshHeaders: true },
    ]);
    assert.equal(this.fields.active, true);
  }

  head(lines: readonly string[], client: number): string {
    const { bench, fields } = this;
    const head = bench.request(`GET / HTTP/1.1\r\nHost: a\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`);
    fields.inHead(head, client);
    const text = bench.written((at, limit) =>
      writeRequest(bench.bytes, head, at, limit, head.framing, -1, false, 0, 0),
    );
    return String(text).replace('GET / HTTP/1.1\r\nHost: a\r\n', '').replace(/\r\n/g, '|');
  }

  list(more: readonly Field[], client: number): Field[] {
    const { bench, fields } = this;
    const list = bench.list([[':method', 'GET'], [':scheme', 'http'], [':path', '/'], ['x-first', '1'], ...more]);
    fields.inList(list, client);
    const { size } = list;
    const all = bench.fields(list);
    assert.equal(
      all.reduce((sum, [name, value]) => sum + 32 + name.length + value.length, 0),
      size,
    );
    assert.ok(list.encodedBound >= size - 32 * all.length);
    return all.slice(4);
  }
}

describe('fields of the mesh', () => {
  it('have names that begin with l5d, and a hyphen or what is taken for one', () => {
    const names = [
      'l5d-client-id',
      'L5D-Client-Id',
      'l5d_client_id',
      'l5d-',
      'l5d',
      'l5dx-a',
      'xl5d-a',
      'L5d-x',
      'm5d-a',
      ',5d-a',
      'l5$-a',
    ];
    assert.deepEqual(
      names.filter((name) => isMeshName(ascii(name), 0, name.length)),
      ['l5d-client-id', 'L5D-Client-Id', 'l5d_client_id', 'l5d-', 'L5d-x'],
    );
  });

  it('say who the client is, and nothing that the client says', () => {
    const world = new World();
    const spoofed: Field[] = [
      ['l5d-client-id', 'root'],
      ['x-a', 'b'],
      ['l5d-x', ''],
      ['l5d_client_id', 'root'],
    ];
    const lines = spoofed.map(([name, value]) => `${name}: ${value}`);
    for (let i = 0; i < TIMES; i++) {
      assert.equal(world.head(lines, CLIENT), 'x-a: b||');
      assert.deepEqual(world.list(spoofed, CLIENT), [['x-a', 'b']]);
    }
    world.peers.identified(CLIENT, WEB);
    world.peers.identified(OTHER, SPIFFE);
    for (let i = 0; i < TIMES; i++) {
      for (const [client, name] of [
        [CLIENT, WEB],
        [OTHER, SPIFFE],
      ] as const) {
        assert.equal(world.head(lines, client), `x-a: b|l5d-client-id: ${name}||`);
        assert.equal(world.head([], client), `l5d-client-id: ${name}||`);
        assert.deepEqual(world.list(spoofed, client), [
          ['x-a', 'b'],
          ['l5d-client-id', name],
        ]);
        assert.deepEqual(world.list([['x-own', String(i)]], client), [
          ['x-own', String(i)],
          ['l5d-client-id', name],
        ]);
      }
    }
    world.peers.forget(CLIENT);
    assert.equal(world.head(lines, CLIENT), 'x-a: b||');
  });

  it('are left alone where the listener is not guarded, though there is an identity', () => {
    const world = new World();
    world.peers.identified(STRANGER, WEB);
    assert.equal(world.head(['l5d-client-id: x'], STRANGER), 'l5d-client-id: x||');
    assert.deepEqual(world.list([['l5d-client-id', 'x']], STRANGER), [['l5d-client-id', 'x']]);
  });

  it('name nobody whose name is no value of a field', () => {
    const world = new World();
    for (const name of ['a\r\nx-evil: 1', 'a b', 'ä', 'a\0', 'x'.repeat(2049)]) {
      world.peers.identified(CLIENT, name);
      assert.equal(world.head(['l5d-client-id: x'], CLIENT), '|');
      assert.deepEqual(world.list([['l5d-client-id', 'x']], CLIENT), []);
    }
    const longest = `spiffe://a/${'x'.repeat(2037)}`;
    world.peers.identified(CLIENT, longest);
    assert.deepEqual(world.list([], CLIENT), [['l5d-client-id', longest]]);
  });

  it('in trailers are taken out', () => {
    const world = new World();
    const trailers = (client: number): Field[] => {
      const list = world.bench.list([
        ['x-sum', '1'],
        ['l5d-client-id', 'x'],
        ['grpc-status', '0'],
      ]);
      world.fields.inTrailers(list, client);
      return world.bench.fields(list);
    };
    for (let i = 0; i < TIMES; i++) {
      assert.deepEqual(trailers(CLIENT), [
        ['x-sum', '1'],
        ['grpc-status', '0'],
      ]);
      assert.equal(trailers(STRANGER).length, 3);
    }
  });
});
