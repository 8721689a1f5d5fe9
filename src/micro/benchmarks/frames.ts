// The HTTP/2 frame loop: DATA frames of an endless request.
import { defaultHttp2 } from '../../config/build.js';
import { SCRATCH_BUFFERS_BYTES } from '../../http/scratch-buffers.js';
import { Connection, ROLE } from '../../http2/connection.js';
import { H, H2_ROLES } from '../../http2/counters.js';
import { H2_LIMITS } from '../../http2/limits.js';
import { Http2Machine } from '../../http2/machine.js';
import type { Http2Events } from '../../http2/shared-state.js';
import { Core } from '../../http2/shared-state.js';
import type { Arena } from '../arena.js';
import type { MicroBenchmark } from '../benchmark.js';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const SETTINGS = '\x00\x00\x00\x04\x00\x00\x00\x00\x00';
const SETTINGS_ACK = '\x00\x00\x00\x04\x01\x00\x00\x00\x00';
/** `POST http://a/`, from the static table, and the authority in plain text. */
const BLOCK = '\x83\x86\x84\x01\x01a';
const HEADERS = `\x00\x00${String.fromCharCode(BLOCK.length)}\x01\x04\x00\x00\x00\x01${BLOCK}`;
const DATA_BYTES = 4096;
const FRAMES = 3;
const DATA = `\x00\x10\x00\x00\x00\x00\x00\x00\x01${'x'.repeat(DATA_BYTES)}`;

/** Returns each byte of a body to the window at once; anything else is an error. */
class Reader implements Http2Events {
  machine: Http2Machine | undefined;
  octets = 0;

  request(): void {
    this.octets = 0;
  }
  data(_connection: Connection, slot: number, _at: number, length: number): void {
    this.octets = (this.octets + length) | 0;
    this.machine?.frames.credit(slot, length);
  }
  requestTooLarge = surprised;
  tooLarge = surprised;
  response = surprised;
  trailers = surprised;
  reset = surprised;
  streamFailed = surprised;
  connectionFailed = surprised;
  goaway = surprised;
  settings(): void {}
  shutdownAcknowledged(): void {}
  dataSent(): void {}
  flushed(): void {}
}

function surprised(): void {
  throw new Error('the machine took its input for something else');
}

function machineOf(arena: Arena): { machine: Http2Machine; connection: Connection; reader: Reader } {
  const { slab, headers } = arena;
  const metersAt = H2_LIMITS.length;
  const counters = new Float64Array(metersAt + H2_ROLES.length * H.SIZE);
  const sink = {
    queue: (_socket: number, _at: number, _length: number, bid: number) => {
      if (bid >= 0) slab.release(bid);
    },
    sending: () => false,
    congested: () => false,
  };
  const core = new Core(slab, headers, sink, counters, 0, 16, slab.fixed(SCRATCH_BUFFERS_BYTES));
  const reader = new Reader();
  const machine = new Http2Machine(core, reader);
  reader.machine = machine;
  const connection = new Connection(0, ROLE.SERVER, metersAt + ROLE.SERVER * H.SIZE, headers, defaultHttp2(), 0);
  return { machine, connection, reader };
}

export const frameLoop: MicroBenchmark = {
  name: 'http2-frames',
  what: `a DATA frame of ${DATA_BYTES} octets is read, and its window given back`,
  prepare: (arena) => {
    const { machine, connection, reader } = machineOf(arena);
    machine.sender.open(connection);
    const begin = PREFACE + SETTINGS + SETTINGS_ACK + HEADERS;
    const at = arena.text(begin);
    machine.receive(connection, at, at + begin.length);
    machine.core.output.commit();
    const frames = arena.text(DATA.repeat(FRAMES));
    const end = frames + DATA.length * FRAMES;
    return {
      run(times) {
        for (let i = 0; i < times; i += FRAMES) {
          machine.receive(connection, frames, end);
          machine.core.output.commit();
        }
        return reader.octets;
      },
    };
  },
};
