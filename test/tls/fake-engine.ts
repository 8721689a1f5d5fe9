// An engine that speaks something like TLS and encrypts nothing: a hello each way and a "finished" of the client, then records of 5 octets more
// than their payload. It counts its calls.

import { TLS, TLS_PAGE, type TlsPeer } from '../../src/io/native-tls.js';
import type { TlsEngine } from '../../src/tls/engine.js';

const HANDSHAKE = 22;
const DATA = 23;
const ALERT = 21;
const HEADER = 5;
/** Payload of one record. */
const MAX_RECORD = 16_384;

/** A record as this engine reads and writes it. */
export function record(type: number, body: Uint8Array | string): Buffer {
  const bytes = Buffer.from(body);
  return Buffer.concat([Buffer.from([type, 3, 3, bytes.length >> 8, bytes.length & 255]), bytes]);
}
export const hello = (text = 'hello'): Buffer => record(HANDSHAKE, text);
export const data = (text: string | Uint8Array): Buffer => record(DATA, text);
export const closeNotify = (): Buffer => record(ALERT, 'bye');

interface Connection {
  readonly server: boolean;
  input: Buffer;
  plain: Buffer;
  wire: Buffer;
  /** Handshake records that came. */
  heard: number;
  begun: boolean;
  done: boolean;
}

export class FakeEngine implements TlsEngine {
  readonly page = new Int32Array(8);
  receives = 0;
  sends: number[] = [];
  open = 0;
  contexts = 0;
  peer: Partial<TlsPeer> = {};
  private readonly connections: (Connection | undefined)[] = [];
  private readonly servers = new Map<number, boolean>();
  private made = 0;

  constructor(private readonly slab: () => Uint8Array) {}

  tlsPage(): Int32Array {
    return this.page;
  }

  tlsContext(options: { readonly server: boolean }): number {
    this.contexts++;
    this.servers.set(++this.made, options.server);
    return this.made;
  }

  tlsContextFree(): void {
    this.contexts--;
  }

  tlsOpen(context: number): number {
    this.open++;
    const empty = Buffer.alloc(0);
    const server = this.servers.get(context) === true;
    const made = { server, input: empty, plain: empty, wire: empty, heard: 0, begun: false, done: false };
    const free = this.connections.indexOf(undefined);
    if (free < 0) return this.connections.push(made) - 1;
    this.connections[free] = made;
    return free;
  }

  tlsClose(connection: number): void {
    this.open--;
    this.connections[connection] = undefined;
  }

  tlsPeer(): TlsPeer {
    const all = {
      version: 'TLSv1.3',
      group: 'x25519',
      cipher: '',
      alpn: '',
      serverName: '',
      names: [],
      resumed: false,
    };
    return { ...all, ...this.peer };
  }

  tlsReceive(
    connection: number,
    inAt: number,
    inLength: number,
    plainAt: number,
    plainCapacity: number,
    wireAt: number,
    wireCapacity: number,
  ): number {
    this.receives++;
    const it = this.of(connection);
    it.input = Buffer.concat([it.input, this.slab().subarray(inAt, inAt + inLength)]);
    let status = 0;
    if (!it.server && !it.begun) it.wire = Buffer.concat([it.wire, hello('client')]);
    it.begun = true;
    while (it.input.length >= HEADER && (status & (TLS.END | TLS.FAILED)) === 0) {
      const end = HEADER + it.input.readUInt16BE(3);
      if (it.input[0] < ALERT || it.input[0] > DATA) status |= TLS.FAILED;
      if (it.input.length < end) break;
      status |= this.take(it, it.input[0], it.input.subarray(HEADER, end));
      it.input = it.input.subarray(end);
    }
    if ((status & TLS.FAILED) !== 0) it.wire = record(ALERT, 'no');
    const plain = this.put(it.plain, plainAt, plainCapacity);
    it.plain = it.plain.subarray(plain);
    if (it.plain.length > 0) status |= TLS.MORE_PLAIN;
    // What comes behind the plain text is told with the last of it.
    if ((status & TLS.MORE_PLAIN) === 0 && !it.done) status |= TLS.HANDSHAKING;
    this.page[TLS_PAGE.CONSUMED] = inLength;
    this.page[TLS_PAGE.PLAIN] = plain;
    return status | this.flush(it, wireAt, wireCapacity);
  }

  tlsSend(connection: number, plainAt: number, plainLength: number, wireAt: number, wireCapacity: number): number {
    const it = this.of(connection);
    const length = Math.min(plainLength, MAX_RECORD);
    this.sends.push(length);
    it.wire = Buffer.concat([it.wire, data(this.slab().subarray(plainAt, plainAt + length))]);
    this.page[TLS_PAGE.CONSUMED] = length;
    return this.flush(it, wireAt, wireCapacity);
  }

  tlsShutdown(connection: number, wireAt: number, wireCapacity: number): number {
    const it = this.of(connection);
    it.wire = Buffer.concat([it.wire, closeNotify()]);
    return this.flush(it, wireAt, wireCapacity);
  }

  private of(connection: number): Connection {
    const found = this.connections[connection];
    if (found === undefined) throw new Error(`no connection ${connection}`);
    return found;
  }

  private take(it: Connection, type: number, body: Buffer): number {
    if (type === ALERT) return TLS.END;
    if (type === DATA) {
      it.plain = Buffer.concat([it.plain, body]);
      return it.done ? 0 : TLS.FAILED;
    }
    it.heard++;
    if (it.server && it.heard === 1) it.wire = Buffer.concat([it.wire, hello('server')]);
    if (!it.server) it.wire = Buffer.concat([it.wire, hello('finished')]);
    if (it.server && it.heard === 1) return 0;
    it.done = true;
    return TLS.HANDSHAKE_DONE;
  }

  private put(bytes: Buffer, at: number, capacity: number): number {
    const n = Math.min(bytes.length, capacity);
    this.slab().set(bytes.subarray(0, n), at);
    return n;
  }

  private flush(it: Connection, at: number, capacity: number): number {
    const n = this.put(it.wire, at, capacity);
    it.wire = it.wire.subarray(n);
    this.page[TLS_PAGE.WIRE] = n;
    return it.wire.length > 0 ? TLS.MORE_WIRE : 0;
  }
}
