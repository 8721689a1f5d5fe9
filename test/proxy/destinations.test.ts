import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ADDRESS_WORDS, addressKey } from '../../src/detect/learned.js';
import { VERDICT } from '../../src/detect/matcher.js';
import { LIMITS, MAX_LISTENERS, REASONS, W } from '../../src/metrics/layout.js';
import { DESTINATION, Destinations } from '../../src/proxy/accept/destinations.js';
import { OwnAddresses } from '../../src/proxy/accept/own-addresses.js';
import { Router } from '../../src/proxy/accept/router.js';
import { LOCAL_DESTINATIONS } from '../../src/proxy/capacity.js';
import { CLOSE, SOCKET_KIND } from '../../src/proxy/connect/connections.js';
import {
  type DestinationSnapshot,
  type FromWorker,
  type ListenerSnapshot,
  MODE,
  type Snapshot,
} from '../../src/proxy/snapshot.js';

const SOCKETS = 2048;
const FIXED = 1;
const ORIGINAL = 2;
/** Service that the fake passthrough gives destination slot 0; the next ones follow. */
const LOCAL = 5000;

const listener = (slot: number, more: Partial<ListenerSnapshot> = {}): ListenerSnapshot => ({
  slot,
  name: `listener${slot}`,
  mode: MODE.DETECT,
  reason: 0,
  services: [-1, -1, -1, -1],
  raceMs: 3,
  timeoutMs: 10_000,
  learnTtlMs: 600_000,
  originalDestination: slot === ORIGINAL,
  fd: slot,
  ...more,
});

const answer = (services: readonly number[] | null, more: Partial<DestinationSnapshot> = {}): DestinationSnapshot => ({
  mode: MODE.DETECT,
  reason: 0,
  services,
  raceMs: 50,
  timeoutMs: 1000,
  learnTtlMs: 1000,
  ...more,
});

/** A worker around a router, with a clock that is set by hand and a main thread that is asked and answers by hand. */
class Fake {
  now = 1000;
  readonly asked: Extract<FromWorker, { kind: 'resolve' }>[] = [];
  readonly logged: Extract<FromWorker, { kind: 'log' }>[] = [];
  /** Clients whose destination is known, in that order. */
  readonly routed: number[] = [];
  /** Clients refused, with the CLOSE they were refused for. */
  readonly refused = new Map<number, number>();
  readonly deadlines = new Map<number, number>();
  readonly limits: string[] = [];
  readonly closedServices: number[] = [];
  readonly values = new Float64Array(W.SIZE);
  readonly destinations = new Destinations(SOCKETS);
  readonly destination = new Int32Array(SOCKETS);
  readonly kind = new Uint8Array(SOCKETS);
  readonly router: Router;
  private readonly listener = new Int16Array(SOCKETS);
  private readonly originals = new Map<number, string>();
  private next = 0;

  constructor(
    more: Partial<Snapshot> = {},
    listeners = [listener(FIXED, { services: [7, 8, 9, 10] }), listener(ORIGINAL)],
  ) {
    const fake = this;
    const own = new OwnAddresses(() => ['10.0.0.9', 'fd00::9']);
    this.router = new Router(
      {
        connections: { listener: this.listener, destination: this.destination, abort: (c, why) => this.close(c, why) },
        sockets: { fd: Int32Array.from({ length: SOCKETS }, (_, i) => i), kind: this.kind },
        wheel: {
          schedule: (client, at) => this.deadlines.set(client, at),
          cancel: (client) => this.deadlines.delete(client),
        },
        reactor: { clock: () => this.now },
        native: {
          originalSockaddr: (fd, into) => sockaddr(this.originals.get(fd) ?? '', into),
          originalDestination: (fd) => this.originals.get(fd) ?? '',
          localName: (fd) => (fd === FIXED ? '127.0.0.1:8080' : '[::]:15001'),
        },
        values: this.values,
        get destinations() {
          return fake.destinations;
        },
        limited: (limit) => this.limits.push(LIMITS[limit]),
      },
      { open: (slot) => LOCAL + slot, close: (slot) => this.closedServices.push(LOCAL + slot) },
      (client) => this.routed.push(client),
      (message) => {
        if (message.kind === 'resolve') this.asked.push(message);
        else if (message.kind === 'log') this.logged.push(message);
        else assert.fail(message.kind);
      },
      own,
    );
    this.configure(more, listeners);
  }

  configure(more: Partial<Snapshot>, listeners: ListenerSnapshot[]): void {
    this.router.configure({
      listeners,
      resolveTimeoutMs: 500,
      opaquePorts: [5432],
      maxDestinations: LOCAL_DESTINATIONS,
      destinationIdleMs: 300_000,
      ...more,
    } as Snapshot);
  }

  /** A client on `slot` that was going to `address`; '' where it was not redirected. */
  accept(slot: number, address: string): number {
    const client = this.next++;
    this.listener[client] = slot;
    this.destination[client] = slot;
    this.kind[client] = SOCKET_KIND.DETECT;
    this.originals.set(client, address);
    this.router.open(client);
    return client;
  }

  close(client: number, reason: number = CLOSE.OK): void {
    if (reason !== CLOSE.OK) this.refused.set(client, reason);
    const slot = this.destination[client];
    if (this.destinations.isOriginal(slot)) this.destinations.release(slot, client, this.now);
  }

  /** Timers that are due. */
  fire(): void {
    for (const [client, at] of [...this.deadlines])
      if (at <= this.now && this.deadlines.get(client) === at) this.router.timer(client);
  }

  services(client: number): number[] {
    const at = this.destination[client] * 4;
    return [...this.destinations.service.subarray(at, at + 4)];
  }

  mode(client: number): number {
    return this.destinations.mode[this.destination[client]];
  }
}

function sockaddr(name: string, into: Uint8Array): number {
  if (name === '') return 0;
  const colon = name.lastIndexOf(':');
  const port = Number(name.slice(colon + 1));
  into[2] = port >> 8;
  into[3] = port & 0xff;
  const host = name.slice(0, colon);
  into[0] = host.startsWith('[') ? 10 : 2;
  // What the bytes of an address are does not matter here, as long as they tell addresses apart.
  if (host.startsWith('[')) into.set(Buffer.from(host.slice(1, -1)).subarray(0, 16), 8);
  else into.set(host.split('.').map(Number), 4);
  return host.startsWith('[') ? 28 : 16;
}

const words = (...values: number[]): Int32Array => Int32Array.from({ length: ADDRESS_WORDS }, (_, i) => values[i] ?? 0);

describe('the router', () => {
  it('takes the services of a listener that has some without asking anybody', () => {
    const fake = new Fake();
    const client = fake.accept(FIXED, '');
    assert.deepEqual(fake.routed, [client]);
    assert.deepEqual(fake.services(client), [7, 8, 9, 10]);
    assert.deepEqual(fake.asked, []);
  });

  it('asks once for all that wait for the same address, and not again while it knows', () => {
    const fake = new Fake();
    const first = fake.accept(ORIGINAL, '10.0.0.1:80');
    const second = fake.accept(ORIGINAL, '10.0.0.1:80');
    assert.equal(fake.kind[first], SOCKET_KIND.ROUTE);
    assert.deepEqual(
      fake.asked.map(({ listener: slot, host, port }) => [slot, host, port]),
      [[ORIGINAL, '10.0.0.1', 80]],
    );
    fake.router.resolved(fake.asked[0].id, answer([3, -1, 3, 4], { mode: MODE.OPAQUE, reason: 1 }));
    assert.deepEqual(fake.routed, [first, second]);
    assert.equal(fake.kind[first], SOCKET_KIND.DETECT);
    assert.deepEqual([...fake.deadlines], []);
    const third = fake.accept(ORIGINAL, '10.0.0.1:80');
    assert.deepEqual(fake.routed, [first, second, third]);
    assert.deepEqual(fake.services(third), [3, -1, 3, 4]);
    assert.equal(fake.mode(third), MODE.OPAQUE);
    assert.equal(fake.asked.length, 1);
    assert.equal(fake.values[W.DESTINATIONS_ASKED], 1);
    assert.equal(fake.values[W.DESTINATIONS], 1);
  });

  it('tells addresses, ports, families and listeners apart', () => {
    const other = 3;
    const listeners = [listener(ORIGINAL), listener(other, { originalDestination: true })];
    const fake = new Fake({}, listeners);
    const addresses = ['10.0.0.1:80', '10.0.0.1:81', '10.0.0.2:80', '[fd00::1]:80', '[fd00::2]:80'];
    for (const address of addresses) fake.accept(ORIGINAL, address);
    fake.accept(other, addresses[0]);
    assert.deepEqual(
      fake.asked.map(({ host, port }) => `${host} ${port}`),
      ['10.0.0.1 80', '10.0.0.1 81', '10.0.0.2 80', 'fd00::1 80', 'fd00::2 80', '10.0.0.1 80'],
    );
    const keys = new Set(fake.asked.map(({ id }) => fake.destinations.learnKey[id % (MAX_LISTENERS + 1024)]));
    assert.equal(keys.size, 6);
  });

  it('goes where the client was going when nobody knows better, and remembers that', () => {
    const fake = new Fake();
    const client = fake.accept(ORIGINAL, '10.0.0.1:80');
    fake.router.resolved(fake.asked[0].id, answer(null));
    const local = LOCAL + fake.destination[client];
    assert.deepEqual(fake.services(client), [local, local, local, local]);
    fake.accept(ORIGINAL, '10.0.0.1:80');
    assert.equal(fake.asked.length, 1);
  });

  it('goes there as well when there is no answer in time, by what it knows of the port', () => {
    const fake = new Fake();
    const web = fake.accept(ORIGINAL, '10.0.0.1:80');
    const database = fake.accept(ORIGINAL, '10.0.0.1:5432');
    assert.deepEqual([...fake.deadlines.values()], [1500, 1500]);
    fake.now = 1499;
    fake.fire();
    assert.deepEqual(fake.routed, []);
    fake.now = 1500;
    fake.fire();
    assert.deepEqual(fake.routed, [web, database]);
    assert.deepEqual([fake.mode(web), fake.mode(database)], [MODE.DETECT, MODE.OPAQUE]);
    assert.equal(fake.destinations.reason[fake.destination[database]], REASONS.indexOf('default-port'));
    assert.equal(fake.services(web)[VERDICT.HTTP1], LOCAL + fake.destination[web]);
    assert.deepEqual(fake.limits, ['resolve-time', 'resolve-time']);
    // Nobody else waits for this answer, and it is taken when it comes.
    const next = fake.accept(ORIGINAL, '10.0.0.1:80');
    assert.deepEqual(fake.routed, [web, database, next]);
    fake.router.resolved(fake.asked[0].id, answer([1, 1, 1, 1]));
    assert.deepEqual(fake.services(next), [1, 1, 1, 1]);
  });

  it('keeps to the protocol that the listener is told, also without an answer', () => {
    const hint = { mode: MODE.HTTP1, reason: REASONS.indexOf('hint') };
    const fake = new Fake({}, [listener(ORIGINAL, hint)]);
    const client = fake.accept(ORIGINAL, '10.0.0.1:5432');
    fake.now += 500;
    fake.fire();
    assert.equal(fake.mode(client), MODE.HTTP1);
    assert.equal(fake.destinations.reason[fake.destination[client]], hint.reason);
  });

  it('answers connections that wait while the truth changes with the new one', () => {
    const fake = new Fake();
    const client = fake.accept(ORIGINAL, '10.0.0.1:80');
    fake.router.unresolved();
    assert.equal(fake.asked.length, 2);
    fake.router.resolved(fake.asked[0].id, answer([1, 1, 1, 1]));
    assert.deepEqual(fake.routed, []);
    fake.router.resolved(fake.asked[1].id, answer([2, 2, 2, 2]));
    assert.deepEqual(fake.routed, [client]);
    assert.deepEqual(fake.services(client), [2, 2, 2, 2]);
  });

  it('asks anew about what changed: about addresses in use at once, about others for the next connection', () => {
    const fake = new Fake();
    const busy = fake.accept(ORIGINAL, '10.0.0.1:80');
    const idle = fake.accept(ORIGINAL, '10.0.0.2:80');
    for (const { id } of [...fake.asked]) fake.router.resolved(id, answer([1, 1, 1, 1]));
    fake.close(idle);
    fake.router.unresolved();
    assert.deepEqual(
      fake.asked.slice(2).map(({ host }) => host),
      ['10.0.0.1'],
    );
    // An open connection goes on by the old truth until the new one is there.
    assert.deepEqual(fake.services(busy), [1, 1, 1, 1]);
    const waiting = fake.accept(ORIGINAL, '10.0.0.2:80');
    assert.equal(fake.kind[waiting], SOCKET_KIND.ROUTE);
    assert.deepEqual(
      fake.asked.slice(3).map(({ host }) => host),
      ['10.0.0.2'],
    );
    fake.router.resolved(fake.asked[2].id, answer([2, 2, 2, 2]));
    assert.deepEqual(fake.services(busy), [2, 2, 2, 2]);
    assert.equal(fake.kind[waiting], SOCKET_KIND.ROUTE);
  });

  it('takes the new answer after a reload', () => {
    const fake = new Fake();
    const client = fake.accept(ORIGINAL, '10.0.0.1:80');
    fake.router.resolved(fake.asked[0].id, answer([1, 1, 1, 1]));
    fake.configure({}, [listener(ORIGINAL)]);
    fake.router.unresolved();
    assert.equal(fake.asked.length, 2);
    fake.router.resolved(fake.asked[1].id, answer(null));
    assert.equal(fake.services(client)[0], LOCAL + fake.destination[client]);
  });

  it('lets a client leave that waits', () => {
    const fake = new Fake();
    const clients = [0, 1, 2].map(() => fake.accept(ORIGINAL, '10.0.0.1:80'));
    fake.close(clients[1], CLOSE.RESET);
    fake.router.resolved(fake.asked[0].id, answer([1, 1, 1, 1]));
    assert.deepEqual(fake.routed, [clients[0], clients[2]]);
  });

  it('refuses loops: to a listener, also under another address of this machine', () => {
    const fake = new Fake();
    const loops = ['127.0.0.1:8080', '10.0.0.9:15001', '[fd00::9]:15001', '127.1.2.3:15001'];
    for (const address of loops) assert.equal(fake.refused.get(fake.accept(ORIGINAL, address)), CLOSE.REFUSED, address);
    assert.equal(fake.values[W.DESTINATION_LOOPS], loops.length);
    // The same ports elsewhere are other people's.
    fake.accept(ORIGINAL, '10.0.0.1:15001');
    fake.accept(ORIGINAL, '10.0.0.9:8080');
    assert.equal(fake.asked.length, 2);
    assert.equal(fake.refused.size, loops.length);
  });

  it('refuses connections that were not redirected', () => {
    const fake = new Fake();
    const client = fake.accept(ORIGINAL, '');
    assert.equal(fake.refused.get(client), CLOSE.REFUSED);
    assert.equal(fake.values[W.DESTINATIONS_MISSING], 1);
    assert.equal(fake.logged[0].fields.listener, 'listener2');
  });

  it('logs refused connections once a second, and how many it did not log', () => {
    const fake = new Fake();
    for (let i = 0; i < 5; i++) fake.accept(ORIGINAL, '127.0.0.1:8080');
    assert.equal(fake.logged.length, 1);
    assert.deepEqual(fake.logged[0].fields, { listener: 'listener2', destination: '127.0.0.1:8080' });
    fake.now += 1000;
    fake.accept(ORIGINAL, '127.0.0.1:8080');
    assert.equal(fake.logged.length, 2);
    assert.equal(fake.logged[1].fields.alsoRefused, 4);
  });

  it('forgets a destination that has been without connections for long', () => {
    const fake = new Fake();
    const client = fake.accept(ORIGINAL, '10.0.0.1:80');
    fake.router.resolved(fake.asked[0].id, answer(null));
    fake.now += 1_000_000;
    fake.router.sweep();
    assert.equal(fake.values[W.DESTINATIONS], 1);
    fake.close(client);
    fake.now += 299_999;
    fake.router.sweep();
    assert.equal(fake.values[W.DESTINATIONS], 1);
    fake.now += 1;
    fake.router.sweep();
    assert.equal(fake.values[W.DESTINATIONS], 0);
    assert.equal(fake.values[W.DESTINATIONS_EVICTED], 1);
    assert.deepEqual(fake.closedServices, [LOCAL + fake.destination[client]]);
    fake.accept(ORIGINAL, '10.0.0.1:80');
    assert.equal(fake.asked.length, 2);
    // An answer about the forgotten one is about nobody.
    fake.router.resolved(fake.asked[0].id, answer([1, 1, 1, 1]));
    assert.deepEqual(fake.routed, [client]);
  });

  it('makes room by forgetting the longest unused one, and refuses when all are in use', () => {
    const fake = new Fake({ maxDestinations: 2 });
    const first = fake.accept(ORIGINAL, '10.0.0.1:80');
    const second = fake.accept(ORIGINAL, '10.0.0.2:80');
    const refused = fake.accept(ORIGINAL, '10.0.0.3:80');
    assert.equal(fake.refused.get(refused), CLOSE.LIMIT);
    assert.deepEqual(fake.limits, ['destinations']);
    fake.close(second);
    fake.close(first);
    fake.accept(ORIGINAL, '10.0.0.3:80');
    assert.deepEqual(fake.closedServices, [LOCAL + fake.destination[second]]);
    assert.equal(fake.values[W.DESTINATIONS], 2);
    fake.accept(ORIGINAL, '10.0.0.1:80');
    assert.equal(fake.asked.length, 3);
  });
});

describe('the table of destinations', () => {
  it('finds what it holds, whatever was added and removed', () => {
    const table = new Destinations(16);
    const held = new Map<number, number>();
    for (let i = 0; i < 20_000; i++) {
      const address = (i * 7919) % 1500;
      const slot = held.get(address);
      assert.equal(table.find(ORIGINAL, words(2, address)), slot ?? -1);
      if (slot !== undefined) {
        table.remove(slot);
        held.delete(address);
        continue;
      }
      const added = table.add(ORIGINAL, words(2, address), 80, i);
      if (held.size === LOCAL_DESTINATIONS) assert.equal(added, -1);
      else held.set(address, added);
    }
    assert.equal(table.count, held.size);
    assert.equal(new Set(held.values()).size, held.size);
  });

  it('keeps those without users in the order in which they lost the last', () => {
    const table = new Destinations(16);
    const [a, b, c] = [1, 2, 3].map((address) => table.add(ORIGINAL, words(address), 80, 0));
    for (const slot of [a, b, c]) table.use(slot);
    assert.equal(table.oldestIdle(), -1);
    table.use(b);
    table.release(b, 0, 1);
    table.release(c, 0, 2);
    table.release(a, 0, 3);
    table.release(b, 0, 4);
    const order = [];
    for (let slot = table.oldestIdle(); slot >= 0; slot = table.oldestIdle()) {
      order.push(slot);
      table.remove(slot);
    }
    assert.deepEqual(order, [c, a, b]);
    assert.equal(table.state[a], DESTINATION.FREE);
  });

  it('learns under a key of the address, whatever service it has', () => {
    const table = new Destinations(16);
    const slot = table.add(ORIGINAL, words(2, 1), 80, 0);
    const key = table.learnKey[slot];
    assert.equal(key, addressKey(ORIGINAL, words(2, 1)));
    assert.ok(key >= 2 ** 31);
    table.setAnswer(slot, answer([5, 5, 5, 5]), [5, 5, 5, 5]);
    assert.equal(table.learnKey[slot], key);
  });
});
