// What the rules say of connections is kept: what is kept is what would be found out anew, whatever has happened since.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  AUTHORIZATION_DEFAULTS,
  type AuthorizationConfig,
  type AuthorizationRule,
} from '../../src/config/authorization-model.js';
import { parseNetwork } from '../../src/config/networks.js';
import { METHOD } from '../../src/http/methods.js';
import { ascii } from '../../src/http/octets.js';
import { R, ruleBase } from '../../src/metrics/layout.js';
import { addressWords, readAddress } from '../../src/policy/network-list.js';
import { type Asked, DECISION, DEPENDS, decisionOf, RuleSet } from '../../src/policy/rules.js';
import { Authorization } from '../../src/proxy/authorization.js';
import { REFUSALS } from '../../src/proxy/refusals.js';
import { TlsPeers } from '../../src/tls/peers.js';
import { listener } from './destinations-support.js';

const CLIENTS = 4;
const LISTENERS = 2;
/** Slots below are listeners' own, as in `Destinations`. */
const ORIGINAL = 64;
const PORTS = [80, 9000, 5432];
const ADDRESSES = ['10.1.2.3:1', '192.0.2.1:1', '[fd00::1]:1', ''];
const NAMES = ['web.front.x', 'job.back.x', 'spiffe://a/ns/x'];
const PATHS = ['/', '/a', '/a/b', '/a/../b'];

class World {
  readonly peers = new TlsPeers(CLIENTS);
  readonly listener = new Int16Array(CLIENTS);
  readonly destination = new Int32Array(CLIENTS);
  readonly port = new Uint16Array(ORIGINAL + PORTS.length);
  readonly address = new Array<string>(CLIENTS).fill(ADDRESSES[0]);
  readonly values = new Float64Array(100_000);
  readonly noted: string[] = [];
  readonly rules: (AuthorizationConfig | null)[] = new Array<AuthorizationConfig | null>(LISTENERS).fill(null);
  readonly authorization: Authorization;

  constructor() {
    PORTS.forEach((port, i) => {
      this.port[ORIGINAL + i] = port;
    });
    this.authorization = new Authorization({
      values: this.values,
      sockets: { capacity: CLIENTS },
      peers: this.peers,
      connections: {
        listener: this.listener,
        destination: this.destination,
        peerName: (client) => this.address[client],
      },
      destinations: { port: this.port, isOriginal: (slot) => slot >= ORIGINAL },
      refusals: {
        note: (reason, client, _service, _endpoint, rule = '') =>
          void this.noted.push(`${REFUSALS[reason]} ${client} ${rule}`),
      },
    });
  }

  configure(slot: number, config: AuthorizationConfig | null): boolean {
    this.rules[slot] = config;
    const series = config === null ? [] : Array.from({ length: config.rules.length + 1 }, (_, i) => 10 * slot + i + 1);
    const authorization = config === null ? null : { config, port: 8000 + slot, series };
    return this.authorization.configure([listener(slot, { authorization })], () => 0);
  }

  /** Whether the rules allow a request, and bytes, found out anew; and whether the connection may be let in at all. */
  fresh(client: number, bytes: Uint8Array, asked: Asked): readonly [boolean, boolean, boolean] {
    const slot = this.listener[client];
    const config = this.rules[slot];
    if (config === null) return [true, true, true];
    const set = new RuleSet(config);
    const destination = this.destination[client];
    const port = destination >= ORIGINAL ? this.port[destination] : 8000 + slot;
    const words = addressWords();
    const address = readAddress(this.address[client], words) ? words : null;
    set.connection(port, address, this.peers.namesOf(this.peers.identity[client]));
    const request = set.forRequest(set.low, set.high, set.fallback, bytes, asked);
    const open = set.forAnybody(port, address) === DEPENDS;
    return [decisionOf(request) !== DECISION.DENY, decisionOf(set.forBytes()) !== DECISION.DENY, open];
  }

  replay(client: number, bytes: Uint8Array, asked: Asked): readonly [boolean, boolean] {
    const { authorization } = this;
    const code = authorization.codeOf(client, bytes, asked);
    return [code < 0 || authorization.judgeRequest(client, 0, code), authorization.wouldPermitBytes(client)];
  }
}

const rule: fc.Arbitrary<AuthorizationRule> = fc.record({
  name: fc.constant('rule'),
  action: fc.constantFrom('allow' as const, 'deny' as const, 'audit' as const),
  ports: fc.option(
    fc.constantFrom(...PORTS, 8000, 8001).map((port) => [{ first: port, last: port }]),
    { nil: null },
  ),
  identities: fc.option(fc.constantFrom(['*'], ['*.front.x'], ['spiffe://a/*', 'job.back.x']), { nil: null }),
  networks: fc.option(
    fc.constantFrom('10.0.0.0/8', 'fd00::/8', '0.0.0.0/0').map((text) => [{ cidr: parseNetwork(text), except: [] }]),
    { nil: null },
  ),
  methods: fc.option(fc.constantFrom(['GET'], ['POST']), { nil: null }),
  path: fc.option(fc.constantFrom('/', '/a'), { nil: null }),
  exactPath: fc.boolean(),
});
const config: fc.Arbitrary<AuthorizationConfig | null> = fc.option(
  fc.record({
    default: fc.constantFrom(...AUTHORIZATION_DEFAULTS),
    clusterNetworks: fc.constant([parseNetwork('10.0.0.0/8')]),
    rules: fc.array(rule, { maxLength: 6 }),
  }),
  { nil: null },
);
const client = fc.nat(CLIENTS - 1);
const step = fc.oneof(
  fc.record({ do: fc.constant('configure' as const), slot: fc.nat(LISTENERS - 1), config }),
  fc.record({
    do: fc.constant('connect' as const),
    client,
    slot: fc.nat(LISTENERS - 1),
    address: fc.constantFrom(...ADDRESSES),
  }),
  fc.record({ do: fc.constant('identify' as const), client, name: fc.constantFrom(...NAMES) }),
  fc.record({ do: fc.constant('forget' as const), client }),
  fc.record({ do: fc.constant('forward' as const), client, port: fc.nat(PORTS.length - 1) }),
  fc.record({ do: fc.constant('ask' as const), client, path: fc.constantFrom(...PATHS), post: fc.boolean() }),
);

describe('what is kept of connections', () => {
  it('is what would be found out anew', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const world = new World();
        for (const what of steps) {
          switch (what.do) {
            case 'configure':
              world.configure(what.slot, what.config);
              break;
            case 'connect': {
              world.peers.forget(what.client);
              world.listener[what.client] = what.slot;
              world.destination[what.client] = what.slot;
              world.address[what.client] = what.address;
              const asked = { method: METHOD.GET, methodStart: 0, methodEnd: 3, pathStart: 0, pathEnd: 1 };
              assert.equal(world.authorization.admits(what.client), world.fresh(what.client, ascii('/'), asked)[2]);
              break;
            }
            case 'identify':
              world.peers.identified(what.client, what.name);
              break;
            case 'forget':
              world.peers.forget(what.client);
              break;
            case 'forward':
              world.destination[what.client] = ORIGINAL + what.port;
              break;
            default: {
              const method = what.post ? 'POST' : 'GET';
              const bytes = ascii(method + what.path);
              const asked: Asked = {
                method: what.post ? METHOD.POST : METHOD.GET,
                methodStart: 0,
                methodEnd: method.length,
                pathStart: method.length,
                pathEnd: bytes.length,
              };
              const [request, relayed] = world.fresh(what.client, bytes, asked);
              assert.deepEqual(world.replay(what.client, bytes, asked), [request, relayed]);
            }
          }
        }
      }),
      { numRuns: 1500 },
    );
  });

  it('counts by rule, and says of whom; equal rules are no change', () => {
    const world = new World();
    assert.equal(world.authorization.active, false);
    const first: AuthorizationConfig = { default: 'audit', clusterNetworks: [], rules: [] };
    assert.equal(world.configure(1, first), true);
    assert.equal(world.configure(1, { ...first }), false);
    assert.deepEqual([world.authorization.active, world.authorization.epoch], [true, 1]);
    world.listener[0] = 1;
    assert.equal(world.authorization.permitsBytes(0, 7), true);
    assert.equal(world.values[ruleBase(11) + R.TCP_ALLOWED], 1);
    assert.deepEqual(world.noted, ['audit 0 default']);
    world.configure(1, { ...first, default: 'deny' });
    assert.equal(world.authorization.permitsBytes(0, 7), false);
    assert.equal(world.authorization.admits(0), false);
    assert.equal(world.values[ruleBase(11) + R.TCP_DENIED], 2);
    assert.equal(world.noted.length, 3);
    world.configure(1, null);
    assert.deepEqual([world.authorization.active, world.authorization.epoch], [false, 3]);
  });
});
