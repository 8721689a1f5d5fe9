// The seam between sockets and protocols, by hand: no kernel, a transport that does what each test says, and a list of what happens.
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { Native } from '../../src/io/native.js';
import type { Ring } from '../../src/io/ring.js';
import { SendQueue } from '../../src/io/send-queue.js';
import { Slab } from '../../src/io/slab.js';
import { SOCKET, Sockets } from '../../src/io/sockets.js';
import type { TimerWheel } from '../../src/io/timer-wheel.js';
import type { Channel, Transport } from '../../src/io/transport.js';
import { TransportSockets, WIRE_MESSAGE_BLOCKS } from '../../src/io/transport-sockets.js';
import { fakeMemory } from './slab-support.js';

const LAYER = 7;
const ECONNRESET = 104;
const EPIPE = 32;
/** Octets that the transport below puts before each piece of payload, as TLS puts a record header. */
const HEADER = 5;
const AT_MOST = 100;

const happened: string[] = [];
const note = (what: string): void => void happened.push(what);
const taken = (): string[] => happened.splice(0);

let sockets: Sockets;
let slab: Slab;
let transportSockets: TransportSockets;
let channel: Channel;
let full = false;
let free = 0;

/** Says hello when opened, frames payload in pieces of at most AT_MOST octets, and ends with a piece of its own. */
function framing(made: Channel, from: Slab): Transport {
  channel = made;
  const write = (slot: number, length: number, take: number): void => {
    const bid = from.take();
    if (take > 0) made.take(slot, take);
    made.write(slot, from.dataStart(bid), length, bid);
  };
  return {
    accepts: () => LAYER,
    dials: () => LAYER,
    opened: (slot) => write(slot, 3, 0),
    readable: (slot) => note(`readable ${slot}`),
    received: (slot, bid, at, length) => made.deliver(slot, bid, at, length),
    full: () => full,
    ended: (slot) => made.end(slot),
    failed: (slot, errno) => made.fail(slot, errno),
    resumed: () => note('resumed'),
    send: (slot) => {
      const length = Math.min(AT_MOST, made.payloadLength(slot));
      write(slot, HEADER + length, length);
    },
    shutdown: (slot) => {
      note('shutdown');
      write(slot, HEADER, 0);
      made.endWire(slot);
    },
    closed: () => note('closed'),
    turn: () => undefined,
    pending: 0,
  };
}

beforeEach(() => {
  const fixed = 2 * SendQueue.fixedBytes(WIRE_MESSAGE_BLOCKS) + 1024;
  slab = new Slab(fakeMemory(256, fixed), fixed);
  free = slab.free;
  full = false;
  const ring = {
    receive: () => note('receive'),
    receiveOnce: () => note('receive once'),
    send: (_fd: number, _slot: number, _generation: number, _at: number, length: number) => note(`send ${length}`),
    sendMessage: () => note('send several'),
    connect: () => note('connect'),
    cancel: (_slot: number, op: number) => note(`cancel ${op}`),
    close: () => note('close'),
  } as unknown as Ring;
  const native = {
    shutdown: () => note('fin'),
    resetOnClose: () => note('reset on close'),
  } as unknown as Native;
  const wheel = { cancel: () => undefined } as unknown as TimerWheel;
  sockets = new Sockets(native, ring, slab, wheel, new Int32Array(16), 1, 8, WIRE_MESSAGE_BLOCKS);
  transportSockets = new TransportSockets(sockets, slab, framing);
  transportSockets.events = {
    connected: (slot, result) => {
      note(`connected ${result}`);
      if (result === 0) sockets.resume(slot);
    },
    ready: () => note('ready'),
    data: (_slot, bid, _at, length) => {
      note(`data ${length}`);
      slab.release(bid);
    },
    eof: () => note('eof'),
    failed: (_slot, errno) => note(`failed ${errno}`),
    paused: () => note('paused'),
  };
  taken();
});

function dialled(): number {
  const slot = sockets.adopt(3, 1);
  sockets.attach(slot, LAYER, false);
  sockets.connect(slot, 0, 16);
  return slot;
}

/** The kernel has made the connection. */
function stands(slot: number): void {
  assert.equal(sockets.connected(slot), true);
  transportSockets.connected(slot);
}

/** A dialled connection that is ready and has sent its hello. */
function ready(): number {
  const slot = dialled();
  stands(slot);
  sockets.flush();
  completed(slot, 3);
  channel.established(slot);
  transportSockets.turn();
  taken();
  return slot;
}

function accepted(): number {
  const slot = sockets.adopt(4, 1);
  sockets.attach(slot, LAYER, true);
  return slot;
}

function queue(slot: number, length: number): void {
  const bid = slab.take();
  sockets.queue(slot, slab.dataStart(bid), length, bid);
}

/** A send completes as it does in the loop. Returns the payload that the protocols hear of. */
function completed(slot: number, result: number): number {
  const payload = result > 0 ? transportSockets.sent(slot, result) : 0;
  sockets.sent(slot, result);
  return payload;
}

/** `length` octets arrive; `more`: the receive stays armed. */
function arrive(slot: number, length: number, more = true): void {
  assert.equal(sockets.received(slot, length, more), 0);
  const bid = slab.take();
  transportSockets.received(slot, bid, slab.dataStart(bid), length);
  if (!more) transportSockets.receiveEnded(slot);
}

describe('Sockets with a transport', () => {
  test('a connection is made once its transport is ready, and payload waits for that', () => {
    const slot = dialled();
    queue(slot, 10);
    sockets.flush();
    assert.deepEqual(taken(), ['connect']);
    stands(slot);
    sockets.flush();
    assert.deepEqual(taken(), ['receive once', 'send 3'], 'its hello alone');
    assert.notEqual(sockets.flags[slot] & SOCKET.CONNECTING, 0);
    assert.equal(completed(slot, 3), 0, 'that is no payload');
    sockets.flush();
    assert.deepEqual(taken(), []);
    channel.established(slot);
    sockets.flush();
    assert.deepEqual(taken(), ['connected 0', `send ${HEADER + 10}`]);
    assert.equal(completed(slot, HEADER + 10), 10);
    assert.equal(sockets.queued[slot], 0);
  });

  test('a connection whose transport does not get ready was not made', () => {
    const slot = dialled();
    stands(slot);
    channel.fail(slot, ECONNRESET);
    transportSockets.turn();
    assert.deepEqual(taken(), ['connect', 'receive once'], 'what was written with it leaves first');
    sockets.flush();
    transportSockets.turn();
    assert.deepEqual(taken(), ['send 3', `connected -${ECONNRESET}`]);
    const client = accepted();
    sockets.flush();
    channel.fail(client, ECONNRESET);
    transportSockets.turn();
    assert.deepEqual(taken(), ['receive once', 'send 3', `failed ${ECONNRESET}`]);
  });

  test('what a client asks for before it is ready counts then', () => {
    const slot = accepted();
    sockets.receiveOnce(slot);
    queue(slot, 10);
    sockets.shutdown(slot);
    sockets.flush();
    completed(slot, 3);
    sockets.flush();
    assert.deepEqual(taken(), ['receive once', 'send 3']);
    arrive(slot, 20, false);
    channel.established(slot);
    sockets.flush();
    assert.deepEqual(taken(), ['receive once', 'ready', 'shutdown', 'send several']);
    transportSockets.turn();
    assert.deepEqual(taken(), ['data 20', 'resumed']);
  });

  test('nobody gets data who has not asked, and nothing is received for them', () => {
    const slot = accepted();
    channel.established(slot);
    assert.deepEqual(taken(), ['receive once', 'ready', 'cancel 2']);
    arrive(slot, 20, false);
    transportSockets.turn();
    assert.deepEqual(taken(), ['paused']);
    sockets.resume(slot);
    assert.deepEqual(taken(), [], 'it may come from anywhere');
    transportSockets.turn();
    assert.deepEqual(taken(), ['data 20', 'resumed', 'receive']);
  });

  test('data waits while it is not wanted, and the end behind it', () => {
    const slot = ready();
    arrive(slot, 10);
    sockets.pause(slot);
    arrive(slot, 20);
    sockets.received(slot, 0, false);
    transportSockets.ended(slot);
    transportSockets.turn();
    assert.deepEqual(taken(), ['data 10', 'cancel 2']);
    assert.equal(sockets.flags[slot] & SOCKET.EOF, 0, 'not yet');
    sockets.resume(slot);
    transportSockets.turn();
    assert.deepEqual(taken(), ['data 20', 'resumed', 'eof']);
    assert.notEqual(sockets.flags[slot] & SOCKET.EOF, 0);
    sockets.resume(slot);
    transportSockets.turn();
    assert.deepEqual(taken(), [], 'once');
  });

  test('a failure comes after the data before it', () => {
    const slot = ready();
    sockets.pause(slot);
    arrive(slot, 10, false);
    transportSockets.failed(slot, ECONNRESET);
    transportSockets.turn();
    assert.deepEqual(taken(), ['cancel 2', 'paused']);
    sockets.resume(slot);
    transportSockets.turn();
    assert.deepEqual(taken(), ['data 10', 'resumed', `failed ${ECONNRESET}`]);
  });

  test('a transport that keeps enough has no more received', () => {
    const slot = ready();
    full = true;
    arrive(slot, 10, false);
    transportSockets.turn();
    assert.deepEqual(taken(), ['data 10']);
    full = false;
    channel.receive(slot);
    assert.deepEqual(taken(), ['receive']);
  });

  test('the loop does not sleep on what waits for its next turn', () => {
    const slot = ready();
    assert.equal(transportSockets.pending, false);
    sockets.pause(slot);
    sockets.resume(slot);
    assert.equal(transportSockets.pending, true);
    transportSockets.turn();
    assert.equal(transportSockets.pending, false);
  });

  test('payload counts as queued until the kernel has taken what carries it, and no octet twice', () => {
    const slot = ready();
    queue(slot, 250);
    sockets.notifyDrained(slot);
    sockets.flush();
    assert.deepEqual(taken(), [`send ${HEADER + 100}`]);
    assert.equal(sockets.queued[slot], HEADER + 250);
    // Part of the first piece: as much as may be payload. Then the rest with the second, then the third.
    assert.equal(completed(slot, HEADER + 1), HEADER + 1);
    sockets.flush();
    assert.equal(completed(slot, 99 + HEADER + 100), 200 - (HEADER + 1));
    assert.equal(sockets.takeDrained(slot), false);
    sockets.flush();
    assert.equal(completed(slot, HEADER + 50), 50);
    assert.equal(sockets.takeDrained(slot), true);
    assert.equal(sockets.queued[slot], 0);
    assert.equal(slab.free, free);
  });

  test('payload of which nothing was sent moves on to another connection, whole', () => {
    const slot = ready();
    const next = dialled();
    queue(slot, 150);
    sockets.flush();
    queue(slot, 7);
    assert.equal(completed(slot, -EPIPE), 0);
    sockets.moveQueue(slot, next);
    assert.equal(sockets.queued[slot], 0);
    assert.equal(sockets.queued[next], 157);
    sockets.close(slot);
    sockets.close(next);
    assert.equal(slab.free, free);
  });

  test('payload of which some was sent does not', () => {
    const slot = ready();
    const next = dialled();
    queue(slot, 100);
    sockets.flush();
    assert.equal(completed(slot, HEADER + 2), HEADER + 2);
    sockets.moveQueue(slot, next);
    assert.equal(sockets.queued[next], 0);
  });

  test('the end of the stream is written behind all payload, and the FIN sent behind that', () => {
    const slot = ready();
    queue(slot, 10);
    sockets.shutdown(slot);
    queue(slot, 10);
    sockets.flush();
    assert.deepEqual(taken(), ['shutdown', 'send several'], 'both in one send');
    completed(slot, HEADER + 10);
    sockets.flush();
    assert.deepEqual(taken(), [`send ${HEADER}`]);
    completed(slot, HEADER);
    sockets.flush();
    assert.deepEqual(taken(), ['fin']);
  });

  test('an orderly close writes the end of the stream first, an abort does not', () => {
    const slot = ready();
    queue(slot, 10);
    sockets.closeWhenSent(slot);
    sockets.flush();
    completed(slot, 2 * HEADER + 10);
    sockets.flush();
    assert.deepEqual(taken(), ['shutdown', 'send several', 'cancel 2', 'close', 'closed']);
    assert.equal(slab.free, free);
    const other = ready();
    queue(other, 10);
    sockets.resetOnClose(other);
    sockets.closeWhenSent(other);
    sockets.flush();
    completed(other, HEADER + 10);
    sockets.flush();
    assert.deepEqual(taken(), ['reset on close', `send ${HEADER + 10}`, 'cancel 2', 'close', 'closed']);
  });

  test('a connection that is closed while it is not ready is not waited for, unless there is payload', () => {
    const slot = accepted();
    sockets.closeWhenSent(slot);
    assert.notEqual(sockets.flags[slot] & SOCKET.CLOSED, 0);
    const other = accepted();
    queue(other, 1);
    sockets.closeWhenSent(other);
    assert.equal(sockets.flags[other] & SOCKET.CLOSED, 0);
  });

  test('a close gives every buffer back, and the slot to a plain socket', () => {
    const slot = ready();
    queue(slot, 500);
    sockets.flush();
    sockets.pause(slot);
    arrive(slot, 10);
    sockets.close(slot);
    completed(slot, 4);
    sockets.received(slot, -125, false);
    assert.equal(slab.free, free);
    assert.equal(sockets.open, 0);
    assert.equal(sockets.adopt(5, 1), slot);
    assert.equal(sockets.spliceable(slot), true);
    assert.equal(sockets.ready(slot), true);
  });

  test('nothing is spliced through a transport', () => {
    assert.equal(sockets.spliceable(ready()), false);
  });
});
