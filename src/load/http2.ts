// HTTP/2 on a load's connections: between their sockets and the streams on them.
import type { Connection } from '../http2/connection.js';
import { ALPN } from '../tls/alpn.js';
import type { DriverContext, ProtocolDriver } from './driver.js';
import type { LoadStreams } from './http2-streams.js';
import { ERROR } from './tally.js';

export class Http2Driver implements ProtocolDriver {
  private readonly connections: (Connection | undefined)[] = [];

  constructor(
    private readonly context: DriverContext,
    private readonly streams: LoadStreams,
  ) {}

  opened(connection: number, socket: number): void {
    const { tls } = this.context;
    if (tls !== undefined && tls.alpn[socket] !== ALPN.HTTP2) this.context.lost(connection, ERROR.http1);
    else this.connections[connection] = this.streams.connect(connection, socket);
  }

  send(connection: number): number {
    const on = this.connections[connection];
    if (on === undefined) throw new Error('a request without a connection');
    return this.streams.send(connection, on);
  }

  data(connection: number, _socket: number, bid: number, at: number, length: number): void {
    const on = this.connections[connection];
    const { reactor } = this.context;
    if (on !== undefined) {
      const { core, machine } = this.streams;
      core.clock[0] = reactor.now;
      const other = on.settingsSeen || on.partialBytes > 0 ? undefined : otherProtocol(core.bytes, at, length);
      if (other === undefined) machine.receive(on, at, at + length);
      else this.streams.giveUp(on, other);
      if (this.streams.gaveUp) this.context.tally.unexpected(core.bytes, at, length);
    }
    reactor.slab.release(bid);
    this.streams.settle();
  }

  ended(): void {
    // Requests in progress end with the connection.
  }

  closed(connection: number): void {
    const on = this.connections[connection];
    this.connections[connection] = undefined;
    if (on !== undefined) this.streams.closed(on);
  }

  expire(connection: number, _socket: number, time: number): void {
    const on = this.connections[connection];
    if (on !== undefined) this.streams.expire(connection, on, time);
  }

  drained(connection: number): void {
    const on = this.connections[connection];
    if (on === undefined) return;
    on.congested = false;
    this.streams.machine.sender.pump(on);
    this.streams.settle();
  }

  turn(): void {
    this.streams.turn();
  }
}

/** The ERROR for another protocol that begins like this. */
function otherProtocol(bytes: Uint8Array, at: number, length: number): number | undefined {
  const begins = (want: string): boolean =>
    length >= want.length && [...want].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
  if (begins('HTTP/')) return ERROR.http1;
  return begins('\x15\x03') || begins('\x16\x03') ? ERROR['tls-only'] : undefined;
}
