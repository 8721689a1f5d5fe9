import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VERDICT } from '../../src/detect/matcher.js';
import { MAX_LISTENERS, REASONS, W } from '../../src/metrics/layout.js';
import { FORWARD } from '../../src/proxy/accept/transport-headers.js';
import { LOCAL_DESTINATIONS } from '../../src/proxy/capacity.js';
import { CLOSE, SOCKET_KIND } from '../../src/proxy/connect/connections.js';
import { MODE } from '../../src/proxy/snapshot.js';
import { answer, Fake, FIXED, LOCAL, listener, ORIGINAL } from './destinations-support.js';

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
    const keys = new Set(
      fake.asked.map(({ id }) => fake.destinations.learnKey[id % (MAX_LISTENERS + LOCAL_DESTINATIONS)]),
    );
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

  it('asks anew about one address that changed, and about no other', () => {
    const fake = new Fake();
    const busy = fake.accept(ORIGINAL, '10.0.0.1:80');
    const idle = fake.accept(ORIGINAL, '[fd00::1]:80');
    const other = fake.accept(ORIGINAL, '10.0.0.2:80');
    for (const { id } of [...fake.asked]) fake.router.resolved(id, answer([1, 1, 1, 1]));
    fake.close(idle);
    fake.router.changed('10.0.0.1', 80);
    fake.router.changed('fd00::1', 80);
    fake.router.changed('10.9.9.9', 80);
    assert.deepEqual(
      fake.asked.slice(3).map(({ host }) => host),
      ['10.0.0.1'],
    );
    fake.router.resolved(fake.asked[3].id, answer([2, 2, 2, 2]));
    assert.deepEqual(
      [fake.services(busy), fake.services(other)],
      [
        [2, 2, 2, 2],
        [1, 1, 1, 1],
      ],
    );
    fake.accept(ORIGINAL, '[fd00::1]:80');
    assert.equal(fake.asked.at(-1)?.host, 'fd00::1');
    assert.equal(fake.asked.length, 5);
  });

  it('says what it has forgotten', () => {
    const fake = new Fake({ maxDestinations: 1, destinationIdleMs: 100 });
    const first = fake.accept(ORIGINAL, '10.0.0.1:80');
    fake.router.resolved(fake.asked[0].id, answer(null));
    fake.close(first);
    const second = fake.accept(ORIGINAL, '10.0.0.2:81');
    assert.deepEqual(fake.forgotten, [`${ORIGINAL} 10.0.0.1 80`]);
    fake.router.resolved(fake.asked[1].id, answer(null));
    fake.close(second);
    fake.now += 200;
    fake.router.sweep();
    assert.deepEqual(fake.forgotten.slice(1), [`${ORIGINAL} 10.0.0.2 81`]);
  });

  it('knows the opaque ports of a listener that has some of its own, also without an answer', () => {
    const fake = new Fake({}, [listener(ORIGINAL, { opaquePorts: [9000] })]);
    const clients = ['10.0.0.1:9000', '10.0.0.1:5432'].map((address) => fake.accept(ORIGINAL, address));
    fake.now += 500;
    fake.fire();
    assert.deepEqual(
      clients.map((client) => fake.mode(client)),
      [MODE.OPAQUE, MODE.DETECT],
    );
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

  it('takes a client of the opaque transport to a port of the address where it was accepted', () => {
    const fake = new Fake();
    const client = fake.accept(FIXED, '');
    assert.deepEqual(fake.routed, [client]);
    assert.equal(fake.router.forward(client, 5432), FORWARD.OK);
    assert.deepEqual(
      fake.asked.map(({ listener: slot, host, port }) => [slot, host, port]),
      [[FIXED, '127.0.0.1', 5432]],
    );
    fake.router.resolved(fake.asked[0].id, answer(null));
    assert.deepEqual(fake.routed, [client, client]);
    const local = LOCAL + fake.destination[client];
    assert.deepEqual(fake.services(client), [local, local, local, local]);
    assert.equal(fake.destinations.users[fake.destination[client]], 1);
  });

  it('takes it from where it was going first', () => {
    const fake = new Fake();
    const client = fake.accept(ORIGINAL, '10.0.0.1:80');
    fake.router.resolved(fake.asked[0].id, answer([1, 1, 1, 1]));
    const before = fake.destination[client];
    assert.equal(fake.router.forward(client, 80), FORWARD.OK);
    assert.deepEqual([fake.destination[client], fake.destinations.users[before]], [before, 1]);
    assert.equal(fake.router.forward(client, 81), FORWARD.OK);
    assert.notEqual(fake.destination[client], before);
    assert.equal(fake.destinations.users[before], 0);
  });

  it('takes one that was redirected to a port of the address to which it had connected', () => {
    const fake = new Fake({}, [listener(FIXED), listener(ORIGINAL, { mesh: true })]);
    const client = fake.accept(ORIGINAL, '10.0.0.9:15001');
    assert.equal(fake.router.forward(client, 5432), FORWARD.OK);
    assert.deepEqual(
      fake.asked.map(({ host, port }) => [host, port]),
      [['10.0.0.9', 5432]],
    );
    assert.equal(fake.router.forward(fake.accept(ORIGINAL, '10.0.0.9:15001'), 15_001), FORWARD.LOOP);
  });

  it('takes nobody to a listener of this proxy', () => {
    const fake = new Fake();
    assert.equal(fake.router.forward(fake.accept(FIXED, ''), 8080), FORWARD.LOOP);
  });

  it('finds no loop where a peer connects to a listener of the mesh itself', () => {
    const fake = new Fake({}, [listener(FIXED), listener(ORIGINAL, { mesh: true })]);
    const client = fake.accept(ORIGINAL, '10.0.0.9:15001');
    assert.deepEqual(fake.routed, [client]);
    assert.deepEqual(fake.services(client), [-1, -1, -1, -1]);
  });

  it('lets a peer in that has connected to the port of the mesh itself, which no rule has changed', () => {
    const fake = new Fake({}, [listener(FIXED), listener(ORIGINAL, { mesh: true })]);
    const client = fake.accept(ORIGINAL, '');
    assert.deepEqual(fake.routed, [client]);
    assert.deepEqual(fake.services(client), [-1, -1, -1, -1]);
    assert.equal(fake.values[W.DESTINATIONS_MISSING], 0);
  });
});
