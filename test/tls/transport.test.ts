// TLS between sockets and protocols, by hand.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { FAILURE } from '../../src/tls/failures.js';
import { closeNotify, data, hello } from './fake-engine.js';
import { Bench } from './support.js';

const EPROTO = 71;
const ECONNRESET = 104;
const ETIMEDOUT = 110;
/** Turns that any one step of a connection takes at most. */
const SOME = 6;
/** Connections that stand beside a storm of handshakes. */
const BUSY = 64;

let bench: Bench;
const settle = async (): Promise<void> => {
  for (let i = 0; i < SOME; i++) {
    bench.turn();
    await undefined;
  }
};

/** A client that has shaken hands. */
async function accepted(): Promise<number> {
  const slot = bench.accept();
  bench.knock(slot);
  await settle();
  bench.arrive(slot, hello());
  await settle();
  bench.arrive(slot, hello('finished'));
  await settle();
  bench.wire(slot);
  bench.taken();
  return slot;
}

async function dialled(): Promise<number> {
  const slot = bench.dial();
  await settle();
  bench.arrive(slot, hello('server'));
  await settle();
  bench.wire(slot);
  bench.taken();
  return slot;
}

/** Lengths of the records on the wire. */
function lengths(wire: Buffer): number[] {
  const all: number[] = [];
  for (let at = 0; at < wire.length; at += 5 + wire.readUInt16BE(at + 3)) all.push(wire.readUInt16BE(at + 3));
  return all;
}

beforeEach(() => {
  bench = new Bench();
});

describe('A handshake', () => {
  test('of a stranger holds nothing before he has said something', async () => {
    const slot = bench.accept();
    await settle();
    assert.equal(bench.engine.open, 0);
    assert.equal(bench.tls.pending, 0, 'the loop sleeps meanwhile');
    bench.knock(slot);
    assert.equal(bench.receives(slot), false, 'it waits in line');
    bench.turn();
    assert.equal(bench.receives(slot), true);
    // A hello in two pieces.
    bench.arrive(slot, hello().subarray(0, 7));
    await settle();
    assert.equal(bench.engine.open, 0);
    bench.arrive(slot, hello().subarray(7));
    await settle();
    assert.equal(bench.engine.open, 1);
    assert.deepEqual(bench.wire(slot), hello('server'));
    assert.deepEqual(bench.taken(), []);
    bench.arrive(slot, Buffer.concat([hello('finished'), data('GET /')]));
    await settle();
    assert.deepEqual(bench.taken(), [`accepted ${slot}`, `ready ${slot}`]);
    assert.equal(bench.received.get(slot), 'GET /', 'what came with the end of the handshake');
    assert.equal(bench.slab.free, bench.free, 'an idle connection holds no buffers');
  });

  test('of ours begins by itself, and payload waits for it', async () => {
    bench.engine.peer = { alpn: 'h2', names: ['a.example', 'spiffe://x/y'] };
    const slot = bench.dial();
    bench.queue(slot, 'request');
    await settle();
    assert.deepEqual(bench.wire(slot), hello('client'));
    bench.arrive(slot, hello('server'));
    await settle();
    assert.deepEqual(bench.wire(slot), Buffer.concat([hello('finished'), data('request')]));
    assert.deepEqual(bench.taken(), [`dialled ${slot}`, `connected ${slot} 0`]);
    assert.equal(bench.tls.alpn[slot], 1);
    assert.equal(bench.tls.peers.nameOf(bench.tls.peers.identity[slot]), 'spiffe://x/y');
    bench.sockets.close(slot);
    assert.equal(bench.tls.peers.identity[slot], 0);
    assert.equal(bench.tls.alpn[slot], 0);
  });

  test('that fails sends its alert before anybody hears of it', async () => {
    const slot = bench.accept();
    bench.knock(slot);
    await settle();
    bench.arrive(slot, Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await settle();
    assert.match(bench.wire(slot).toString('latin1'), /no$/);
    assert.deepEqual(bench.taken(), [`handshake failed ${slot} ${FAILURE.PLAIN}`, `failed ${slot} ${EPROTO}`]);
    assert.equal(bench.engine.open, 0);
    bench.sockets.close(slot);
    assert.equal(bench.slab.free, bench.free);
  });

  test('of ours that fails is a connection that was not made', async () => {
    const slot = bench.dial();
    bench.queue(slot, 'request');
    await settle();
    bench.arrive(slot, Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await settle();
    assert.deepEqual(bench.taken(), [`handshake failed ${slot} ${FAILURE.PLAIN}`, `connected ${slot} ${-EPROTO}`]);
    assert.equal(bench.sockets.queued[slot], 7, 'the payload is there for another');
    bench.sockets.close(slot);
    assert.equal(bench.slab.free, bench.free);
  });

  test('whose peer leaves has failed, but for one that only looked in', async () => {
    const silent = bench.accept();
    bench.knock(silent);
    await settle();
    bench.fin(silent);
    await settle();
    assert.deepEqual(bench.taken(), [`failed ${silent} 0`]);
    const talker = bench.accept();
    bench.knock(talker);
    await settle();
    bench.arrive(talker, hello().subarray(0, 4));
    bench.fin(talker);
    await settle();
    assert.deepEqual(bench.taken(), [
      `handshake failed ${talker} ${FAILURE.PEER_CLOSED}`,
      `failed ${talker} ${ECONNRESET}`,
    ]);
    bench.sockets.close(talker);
    bench.sockets.close(silent);
    assert.equal(bench.slab.free, bench.free);
  });

  test('that takes too long is given up', async () => {
    const slot = bench.accept();
    await settle();
    bench.now += 10_000;
    await settle();
    assert.deepEqual(bench.taken(), [`handshake failed ${slot} ${FAILURE.TIMEOUT}`, `failed ${slot} ${ETIMEDOUT}`]);
  });

  test('in a storm of them connections that stand are served each turn, and strangers hold nothing', async () => {
    bench = new Bench(4096, 1024);
    const busy: number[] = [];
    while (busy.length < BUSY) busy.push(await accepted());
    const strangers = Array.from({ length: 2000 }, () => bench.accept());
    for (const slot of strangers) bench.knock(slot);
    let answered = 0;
    const spoken = new Set<number>();
    for (let i = 0; i < 300; i++) {
      for (const slot of strangers) {
        if (spoken.has(slot) || !bench.receives(slot)) continue;
        spoken.add(slot);
        bench.arrive(slot, hello());
      }
      const before = bench.engine.receives;
      for (const slot of busy) bench.arrive(slot, data('x'));
      bench.turn();
      await undefined;
      assert.ok(bench.engine.receives - before <= BUSY + 4, 'one for each busy one, and as many steps as are allowed');
      answered++;
      for (const slot of busy) assert.equal(bench.received.get(slot)?.length, answered);
      assert.ok(bench.free - bench.slab.free < 40, 'of thousands few hold a buffer');
    }
    assert.equal(bench.tls.handshakes.inProgress, 100);
  });
});

describe('What comes in', () => {
  test('is decrypted, whatever it is cut into', async () => {
    const slot = await accepted();
    const wire = Buffer.concat([data('abc'), data('d'.repeat(16_000)), data('ef')]);
    for (let at = 0; at < wire.length; at += 977) bench.arrive(slot, wire.subarray(at, at + 977));
    assert.equal(bench.received.get(slot), `abc${'d'.repeat(16_000)}ef`);
    assert.equal(bench.slab.free, bench.free);
  });

  test('waits as it came while nobody wants it, and no more of it is received', async () => {
    const slot = await accepted();
    bench.sockets.pause(slot);
    bench.arrive(slot, Buffer.concat([data('a'.repeat(15_000)), data('b'.repeat(15_000))]));
    await settle();
    assert.equal(bench.received.get(slot), undefined);
    assert.equal(bench.receives(slot), false);
    bench.sockets.resume(slot);
    await settle();
    assert.equal(bench.received.get(slot)?.length, 30_000);
    assert.equal(bench.receives(slot), true);
    assert.equal(bench.slab.free, bench.free);
  });

  test('waits where there is no memory, and goes on when there is', async () => {
    const slot = await accepted();
    const held: number[] = [];
    const wire = data('w'.repeat(14_000));
    bench.sockets.pause(slot);
    bench.arrive(slot, wire);
    for (let bid = bench.slab.take(); bid >= 0; bid = bench.slab.take()) held.push(bid);
    bench.sockets.resume(slot);
    await settle();
    assert.equal(bench.received.get(slot), undefined);
    assert.equal(bench.tls.pending, 0, 'nothing is tried again before there is');
    for (const bid of held.splice(0)) bench.slab.release(bid);
    assert.equal(bench.tls.pending, 1);
    await settle();
    assert.equal(bench.received.get(slot)?.length, 14_000);
    assert.equal(bench.receives(slot), true);
  });

  test('ends with close_notify, and what comes behind that is nothing', async () => {
    const slot = await accepted();
    bench.arrive(slot, Buffer.concat([data('last'), closeNotify(), data('more')]));
    await settle();
    assert.equal(bench.received.get(slot), 'last');
    assert.deepEqual(bench.taken(), [`eof ${slot}`]);
    bench.fin(slot);
    await settle();
    assert.deepEqual(bench.taken(), []);
    bench.queue(slot, 'answer');
    bench.sockets.shutdown(slot);
    await settle();
    assert.deepEqual(bench.wire(slot), Buffer.concat([data('answer'), closeNotify()]), 'half closed, it goes on');
    assert.deepEqual(bench.taken(), ['fin']);
  });

  test('that ends without it is cut off', async () => {
    const slot = await accepted();
    bench.arrive(slot, data('half'));
    bench.fin(slot);
    await settle();
    assert.equal(bench.received.get(slot), 'half');
    assert.deepEqual(bench.taken(), [`truncated ${slot}`, `failed ${slot} ${EPROTO}`]);
    const paused = await accepted();
    bench.sockets.pause(paused);
    bench.arrive(paused, data('kept'));
    bench.sockets.resume(paused);
    bench.sockets.pause(paused);
    bench.transportSockets.failed(paused, ECONNRESET);
    await settle();
    assert.deepEqual(bench.taken(), [], 'nobody wants to hear of it yet');
    bench.sockets.resume(paused);
    await settle();
    assert.equal(bench.received.get(paused), 'kept');
    assert.deepEqual(bench.taken(), [`failed ${paused} ${ECONNRESET}`]);
  });

  test('that is no TLS any more is an error', async () => {
    const slot = await accepted();
    bench.arrive(slot, Buffer.from('garbage garbage'));
    await settle();
    assert.deepEqual(bench.taken(), [`broken ${slot}`, `failed ${slot} ${EPROTO}`]);
    assert.equal(bench.engine.open, 0);
  });

  test('without payload for ever is refused', async () => {
    const slot = await accepted();
    const nothing = Buffer.concat(Array.from({ length: 200 }, () => data('')));
    for (let i = 0; i < 50; i++) bench.arrive(slot, nothing);
    assert.deepEqual(bench.taken(), []);
    bench.arrive(slot, data('payload'));
    for (let i = 0; i < 70 && bench.engine.open > 0; i++) bench.arrive(slot, nothing);
    await settle();
    assert.deepEqual(bench.taken(), [`broken ${slot}`, `failed ${slot} ${EPROTO}`]);
  });
});

describe('What goes out', () => {
  test('of one turn, if it is little, is one record', async () => {
    const slot = await dialled();
    for (const text of ['one ', 'two ', 'three']) bench.queue(slot, text);
    await settle();
    assert.deepEqual(bench.wire(slot), data('one two three'));
    assert.equal(bench.slab.free, bench.free);
  });

  test('begins with records that fit in a packet and grows to full ones; a pause begins anew', async () => {
    const slot = await dialled();
    bench.queue(slot, Buffer.alloc(100_000, 7));
    for (let i = 0; i < 30; i++) await settle();
    const first = lengths(bench.wire(slot));
    assert.ok(first[0] <= 1400, `the first has ${first[0]}`);
    assert.equal(first[1], 4096);
    assert.equal(
      first.reduce((sum, length) => sum + length, 0),
      100_000,
    );
    assert.ok(Math.max(...first) > 16_000, `the largest has ${Math.max(...first)}`);
    assert.ok(first.length < 16, `${first.length} records`);
    bench.queue(slot, Buffer.alloc(20_000, 7));
    await settle();
    assert.ok(lengths(bench.wire(slot))[0] > 14_000, 'right behind it');
    bench.now += 101;
    await settle();
    bench.queue(slot, Buffer.alloc(20_000, 7));
    await settle();
    assert.ok(lengths(bench.wire(slot))[0] <= 1400, 'after a pause');
    await settle();
    assert.equal(bench.slab.free, bench.free);
  });

  test('waits where there is no memory', async () => {
    const slot = await dialled();
    bench.queue(slot, 'payload');
    const held: number[] = [];
    for (let bid = bench.slab.take(); bid >= 0; bid = bench.slab.take()) held.push(bid);
    await settle();
    assert.equal(bench.wire(slot).length, 0);
    bench.sockets.shutdown(slot);
    for (const bid of held.splice(0)) bench.slab.release(bid);
    await settle();
    await settle();
    assert.deepEqual(bench.wire(slot), Buffer.concat([data('payload'), closeNotify()]));
  });
});

describe('A close', () => {
  test('in any state gives everything back', async () => {
    const slots = [bench.accept(), bench.dial(), await accepted(), await dialled()];
    bench.sockets.pause(slots[2]);
    bench.arrive(slots[2], data('kept'));
    bench.queue(slots[3], 'queued');
    for (const slot of slots) bench.sockets.close(slot);
    await settle();
    assert.equal(bench.engine.open, 0);
    assert.equal(bench.tls.handshakes.open, 0);
    assert.equal(bench.slab.free, bench.free);
    assert.equal(bench.tls.pending, 0);
  });
});
