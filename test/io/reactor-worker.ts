// Threads of reactor.test.ts: each has a reactor of its own. `role` names what this one does.
import { connect, Socket } from 'node:net';
import { MessageChannel, parentPort, workerData } from 'node:worker_threads';
import { ERRNO } from '../../src/io/abi.js';
import { type Native, native, PORT } from '../../src/io/native.js';
import { type Handlers, Reactor } from '../../src/io/reactor.js';
import { SOCKET } from '../../src/io/socket-table.js';

const { role, io } = workerData as { role: string; io: 'uring' | 'epoll' };
const KIND = 1;
const LISTENER = 3;
/** Round trips of `pingpong`; the test makes as many. */
const PINGS = 100;
const PIECE = 'some octets';
/** Of a piece for the slow peer; and in how many turns in a row the kernel takes nothing. */
const LENGTH = 10_000;
const STUCK = 20;

/** What the executor is to answer to the next calls, in place of what it would. */
const failures: number[] = [];
const failing: Native = {
  ...native(),
  enter: (...call) => failures.shift() ?? native().enter(...call),
  // As if the kernel had given the socket the port that it connects to.
  connectedToItself: (fd) => (role === 'itself' ? 1 : native().connectedToItself(fd)),
  // Nothing that could be polled, for the worker that is to do without.
  uvFd: () => (role === 'blind' ? -1 : native().uvFd()),
};
const reactor = new Reactor(failing, {
  io,
  slabBytes: 4 << 20,
  maxSockets: 64,
  maxPipes: 0,
  owner: new SharedArrayBuffer(4096 * 4),
  workerId: 0,
});
const { sockets, slab } = reactor;

/** Echoes; the tests override what they look at. */
const echo: Handlers = {
  starved: () => undefined,
  accepted: (listener, fd) => {
    if (listener !== LISTENER || fd < 0) throw new Error(`accepted ${fd} on ${listener}`);
    sockets.resume(sockets.adopt(fd, KIND));
  },
  handedIn: () => undefined,
  handedOver: () => undefined,
  connected: () => undefined,
  ready: () => undefined,
  data: (slot, bid, at, length) => sockets.queue(slot, at, length, bid),
  eof: (slot) => sockets.close(slot),
  failed: (slot) => sockets.close(slot),
  sent: () => undefined,
  sendFailed: (slot) => sockets.close(slot),
  paused: () => undefined,
  hungUp: () => undefined,
  drained: () => undefined,
  pump: () => undefined,
  timer: () => undefined,
  turn: () => undefined,
};

function listen(): number {
  const fd = native().listen('127.0.0.1', 0, 64, PORT.ALONE, 0, 0);
  reactor.ring.accept(fd, LISTENER);
  return native().localPort(fd);
}

const say = (message: Record<string, number>): void => parentPort?.postMessage(message);

/** Dials `address` in place of `slot`, which is closed: 1 where that is the slot of the new socket. */
function dialInPlaceOf(slot: number, address: number, length: number): number {
  sockets.close(slot);
  const next = sockets.adopt(native().socket(4, 0, 0), KIND);
  sockets.connect(next, address, length);
  const bid = slab.take();
  sockets.queue(next, slab.dataStart(bid), 1, bid);
  return next === slot ? 1 : 0;
}

const roles: Record<string, () => void> = {
  replacedByData: () => {
    const port = listen();
    const address = slab.fixed(32);
    const length = native().sockaddr('127.0.0.1', port, slab.bytes, address);
    let same = -1;
    let slotOf = -1;
    reactor.run({
      ...echo,
      accepted: (_, fd) => {
        if (slotOf >= 0) return;
        slotOf = sockets.adopt(fd, KIND);
        sockets.armOnce(slotOf);
      },
      data: (slot, bid) => {
        slab.release(bid);
        same = dialInPlaceOf(slot, address, length);
      },
      turn: () => {
        if (same < 0) return;
        say({ same, receiving: sockets.receiving(slotOf) ? 1 : 0, dirty: sockets.flags[slotOf] & SOCKET.DIRTY });
        same = -1;
      },
    });
    const client = connect(port, '127.0.0.1', () => client.write('x'));
  },

  replacedByConnected: () => {
    const port = listen();
    const address = slab.fixed(32);
    const length = native().sockaddr('127.0.0.1', port, slab.bytes, address);
    const first = sockets.adopt(native().socket(4, 0, 0), KIND);
    let same = -1;
    reactor.run({
      ...echo,
      accepted: () => undefined,
      connected: (slot) => {
        if (slot === first && same < 0) same = dialInPlaceOf(slot, address, length);
      },
      turn: () => {
        if (same < 0) return;
        say({ same, receiving: sockets.receiving(first) ? 1 : 0, dirty: sockets.flags[first] & SOCKET.DIRTY });
        same = Number.MAX_SAFE_INTEGER;
      },
    });
    sockets.connect(first, address, length);
  },

  itself: () => {
    const port = listen();
    const address = slab.fixed(32);
    const length = native().sockaddr('127.0.0.1', port, slab.bytes, address);
    reactor.run({
      ...echo,
      connected: (slot, result) => {
        sockets.close(slot);
        say({ result });
      },
    });
    sockets.connect(sockets.adopt(native().socket(4, 0, 0), KIND), address, length);
  },

  saturated: () => {
    // Two connections within the ring that echo each other's bytes for ever: a completion is always there.
    const counts = { echoes: 0, timeouts: 0, immediates: 0, promises: 0, messages: 0 };
    const done = (): boolean =>
      counts.echoes >= 20_000 &&
      counts.timeouts > 20 &&
      counts.immediates > 20 &&
      counts.promises > 20 &&
      counts.messages > 20;
    const address = slab.fixed(32);
    const port = listen();
    const length = native().sockaddr('127.0.0.1', port, slab.bytes, address);
    reactor.run({
      ...echo,
      connected: (slot, result) => {
        if (result < 0) throw new Error(`connect: ${result}`);
        sockets.resume(slot);
        const bid = slab.take();
        slab.bytes[slab.dataStart(bid)] = 120;
        sockets.queue(slot, slab.dataStart(bid), 1, bid);
      },
      data: (slot, bid, at, size) => {
        counts.echoes++;
        sockets.queue(slot, at, size, bid);
      },
    });
    for (let i = 0; i < 8; i++) {
      const slot = sockets.adopt(native().socket(4, 0, 0), KIND);
      sockets.connect(slot, address, length);
    }
    const { port1, port2 } = new MessageChannel();
    const timer = setInterval(() => {
      counts.timeouts++;
      if (done()) {
        clearInterval(timer);
        say(counts);
      }
    }, 1);
    const immediate = (): void => {
      counts.immediates++;
      void Promise.resolve().then(() => counts.promises++);
      if (!done()) setTimeout(() => setImmediate(immediate), 1);
    };
    immediate();
    port1.on('message', () => {
      counts.messages++;
      if (!done()) setTimeout(() => port2.postMessage(0), 1);
    });
    port2.postMessage(0);
  },

  promise: () => {
    const port = listen();
    let turnsBefore = -1;
    reactor.run({
      ...echo,
      data: (slot, bid, at, size) => {
        turnsBefore = reactor.turns;
        reactor.wantMicrotasks = true;
        void Promise.resolve().then(() => say({ turnsBefore, turnsAfter: reactor.turns }));
        sockets.queue(slot, at, size, bid);
      },
    });
    connect(port, '127.0.0.1').write('x');
  },

  several: () => {
    // Two connections have some buffers waiting in the kernel when they begin to receive; one is closed by its first bytes.
    const port = listen();
    const waiting = 3 * slab.bufferBytes;
    const before = slab.free + slab.lent;
    const slots: number[] = [];
    let received = 0;
    let wrong = 0;
    let several = reactor.ring.bundles ? 0 : 1;
    let behind = 0;
    const next = slab.lentNext.bind(slab);
    slab.lentNext = (bid) => {
      several = 1;
      return next(bid);
    };
    reactor.run({
      ...echo,
      accepted: (_listener, fd) => slots.push(sockets.adopt(fd, KIND)),
      data: (slot, bid, at, size) => {
        if (slot === slots[1]) {
          behind++;
          sockets.close(slot);
        } else {
          for (let i = 0; i < size; i++) if (slab.bytes[at + i] !== (received + i) % 251) wrong++;
          received += size;
          if (received === waiting) sockets.close(slot);
        }
        slab.release(bid);
        if (slots.some((each) => (sockets.flags[each] & SOCKET.CLOSED) === 0)) return;
        say({ wrong, behind, several, lost: before - slab.free - slab.lent });
      },
    });
    const into = new Uint8Array(waiting);
    const timer = setInterval(() => {
      if (slots.length < 2 || slots.some((slot) => native().peek(sockets.fd[slot], into) < waiting)) return;
      clearInterval(timer);
      for (const slot of [slots[1], slots[0]]) sockets.resume(slot);
    }, 1);
    for (let i = 0; i < 2; i++) {
      const client = connect(port, '127.0.0.1').on('error', () => undefined);
      client.write(Buffer.from(Array.from({ length: waiting }, (_, at) => at % 251)));
    }
  },

  timers: () => {
    let wheel = 0;
    let node = 0;
    const slot = sockets.adopt(native().socket(4, 0, 0), KIND);
    const report = (): void => {
      if (wheel > 0 && node > 0) say({ wheel, node });
    };
    reactor.run({
      ...echo,
      timer: () => {
        wheel++;
        report();
      },
    });
    reactor.wheel.schedule(slot, reactor.clock() + 50);
    setTimeout(() => {
      node++;
      report();
    }, 20);
  },

  wakes: () => {
    let turns = 0;
    reactor.run({
      ...echo,
      turn: () => {
        turns++;
        if (reactor.ms < reactor.wakeMs) return;
        reactor.wakeMs = Number.POSITIVE_INFINITY;
        say({ turns: reactor.turns - turns });
      },
    });
    reactor.wakeMs = reactor.clockMs() + 30;
  },

  rests: () => {
    // Always busy: the next turn is due at once.
    let [last, early, after] = [Number.NEGATIVE_INFINITY, 0, 0];
    let seen = 0;
    reactor.run({
      ...echo,
      turn: () => {
        reactor.wakeMs = reactor.ms;
        if (reactor.rests > seen) {
          if (reactor.now < last + 2) early++;
          last = reactor.now;
          seen = reactor.rests;
          if (seen === 5) reactor.restEvery(0, 100);
        }
        if (seen === 5 && reactor.now > last + 10) {
          reactor.wakeMs = Number.POSITIVE_INFINITY;
          if (after++ === 0) say({ early, rests: reactor.rests });
        }
      },
    });
    reactor.restEvery(2, 100);
    reactor.wakeMs = reactor.clockMs();
  },

  later: () => {
    reactor.run({
      ...echo,
      turn: () => {
        if (reactor.ms < reactor.wakeMs) return;
        reactor.wakeMs = Number.POSITIVE_INFINITY;
        reactor.later(1, () => say({ fired: 1 }));
      },
    });
    reactor.wakeMs = reactor.clockMs() + 30;
  },

  idle: () => {
    const port = listen();
    reactor.run(echo);
    // A connection that stands and says nothing.
    connect(port, '127.0.0.1', () => {
      setTimeout(() => {
        const before = reactor.turns;
        setTimeout(() => say({ turns: reactor.turns - before }), 500);
      }, 50);
    });
  },

  pingpong: () => {
    // The peer is not in this thread: libuv has nothing to do here.
    const port = listen();
    let echoes = 0;
    let before = 0;
    reactor.run({
      ...echo,
      data: (slot, bid, at, length) => {
        if (echoes++ === 0) before = reactor.turns;
        if (echoes === PINGS) say({ turns: reactor.turns - before });
        sockets.queue(slot, at, length, bid);
      },
    });
    say({ port });
  },

  refused: () => {
    // Nobody receives from a peer that is gone: the send finds out.
    const port = listen();
    let failed = 0;
    reactor.run({
      ...echo,
      accepted: (_listener, fd) => {
        const slot = sockets.adopt(fd, KIND);
        const client = clients.shift();
        client?.resetAndDestroy();
        client?.once('close', () => {
          const bid = slab.take();
          sockets.queue(slot, slab.dataStart(bid), 1, bid);
          reactor.wantMicrotasks = true;
        });
      },
      sendFailed: (slot, errno) => {
        failed = errno;
        sockets.close(slot);
      },
      turn: () => {
        if (failed !== 0 && sockets.open === 0) say({ failed: failed === ERRNO.EPIPE ? ERRNO.ECONNRESET : failed });
        if (sockets.open === 0) failed = 0;
      },
    });
    const clients = [connect(port, '127.0.0.1').on('error', () => undefined)];
  },

  slow: () => {
    // A peer that does not read, until the kernel takes no more: small sends, of which one is not whole, or not taken at all.
    const port = listen();
    const before = slab.free + slab.lent;
    let queued = 0;
    let told = 0;
    let slot = -1;
    let stuck = 0;
    let received = 0;
    let wrong = 0;
    const check = (): void => {
      if (stuck < STUCK || received < queued || told < queued) return;
      say({ wrong, missing: queued - received, lost: before - slab.free - slab.lent });
      stuck = 0;
    };
    reactor.run({
      ...echo,
      accepted: (_listener, fd) => {
        slot = sockets.adopt(fd, KIND);
      },
      sent: (_slot, bytes) => {
        told += bytes;
      },
      turn: () => {
        check();
        if (slot < 0 || stuck >= STUCK) return;
        if (sockets.queued[slot] > 0) {
          if (++stuck === STUCK) client.resume();
        } else {
          stuck = 0;
          const bid = slab.take();
          const at = slab.dataStart(bid);
          for (let i = 0; i < LENGTH; i++) slab.bytes[at + i] = (queued + i) % 251;
          queued += LENGTH;
          sockets.queue(slot, at, LENGTH, bid);
        }
        reactor.wakeMs = reactor.ms + 1;
      },
    });
    const client = connect(port, '127.0.0.1').on('data', (chunk) => {
      for (const octet of chunk) if (octet !== received++ % 251) wrong++;
      check();
    });
    client.pause();
  },

  awaited: () => {
    // Who wants to know that all is sent hears it, also where it is sent at once; and who closes then is closed.
    const port = listen();
    let drained = 0;
    reactor.run({
      ...echo,
      data: (slot, bid, at, length) => {
        sockets.queue(slot, at, length, bid);
        sockets.notifyDrained(slot);
      },
      drained: (slot) => {
        drained++;
        const bid = slab.take();
        const at = slab.dataStart(bid);
        slab.bytes[at] = 33;
        sockets.queue(slot, at, 1, bid);
        sockets.closeWhenSent(slot);
      },
    });
    let got = '';
    connect(port, '127.0.0.1')
      .on('data', (chunk) => {
        got += String(chunk);
      })
      .on('end', () => say({ drained, bytes: got.length, last: got.charCodeAt(got.length - 1) }))
      .write(PIECE);
  },

  shortage: () => {
    const port = listen();
    reactor.run(echo);
    let bytes = 0;
    const client = connect(port, '127.0.0.1', () => {
      for (const errno of [ERRNO.EAGAIN, ERRNO.ENOMEM, ERRNO.EBUSY, ERRNO.EINTR]) {
        for (let i = 0; i < 20; i++) failures.push(-errno);
      }
      client.write('x'.repeat(1000));
    });
    client.on('data', (chunk) => {
      bytes += chunk.length;
      if (bytes === 1000) say({ bytes, left: failures.length });
    });
  },

  broken: () => {
    failures.push(-ERRNO.EBADF);
    reactor.run(echo);
  },

  blind: () => {
    reactor.run(echo);
    let messages = 0;
    const { port1, port2 } = new MessageChannel();
    port1.on('message', () => {
      messages++;
      if (messages === 10) say({ messages, turns: reactor.turns });
      else setTimeout(() => port2.postMessage(0), 20);
    });
    port2.postMessage(0);
  },

  watchers: () => {
    const ends = new Int32Array(2);
    native().pipe(4096, ends);
    let done = false;
    native().run(() => {
      if (!done && native().uvTimeout() !== 0) {
        // Nothing is due in libuv, until somebody begins to read.
        const socket = new Socket({ fd: ends[0], readable: true, writable: false });
        say({ after: native().uvTimeout() });
        socket.unref();
        done = true;
      }
      return 1;
    });
  },

  throwing: () => {
    const port = listen();
    reactor.run({
      ...echo,
      data: () => {
        throw new Error('thrown by a handler');
      },
    });
    connect(port, '127.0.0.1')
      .on('error', () => undefined)
      .write('x');
  },
};

roles[role]();
