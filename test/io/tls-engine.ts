// An end of a TLS connection for tests: the native engine over a few places in the slab of this thread's ring. Bytes go in and come out
// as Buffers; every place is as small as a test wants it.
import assert from 'node:assert/strict';
import { native } from '../../src/io/native.js';
import { TLS, TLS_CLIENT_CERTIFICATE, TLS_PAGE, type TlsContextOptions } from '../../src/io/native-tls.js';
import type { Certified } from '../support/pki.js';

const KIB = 1024;
const IN_AT = 0;
const PLAIN_AT = 256 * KIB;
const WIRE_AT = 512 * KIB;
const PLACE = 256 * KIB;

export const engine = native();

let slab: Uint8Array | undefined;

/** The slab of this thread, for as long as the process lives. */
export function memory(): Uint8Array {
  slab ??= new Uint8Array(engine.create('epoll', 8, 8, 1024 * KIB).slab);
  return slab;
}

export function context(options: Partial<TlsContextOptions>): number {
  return engine.tlsContext({
    server: false,
    certificates: [],
    anchors: [],
    systemTrust: false,
    clientCertificate: TLS_CLIENT_CERTIFICATE.NONE,
    minVersion: 0x0304,
    alpn: [],
    tickets: false,
    wholeNames: false,
    ...options,
  });
}

export const entry = (from: Certified, names: readonly string[] = []) => ({ chain: from.chain, key: from.key, names });

export interface Places {
  readonly plain?: number;
  readonly wire?: number;
}

export class End {
  readonly connection: number;
  readonly page = engine.tlsPage();
  /** Of every status that there was, but what stands only as long as a call. */
  status = 0;
  reason = 0;
  verify = 0;
  alert = 0;
  received: Buffer[] = [];
  private readonly bytes = memory();
  private readonly plainRoom: number;
  private readonly wireRoom: number;
  private out: Buffer[] = [];

  constructor(
    of: number,
    {
      serverName = null,
      expected = null,
      places = {},
    }: { serverName?: string | null; expected?: string | null; places?: Places } = {},
  ) {
    this.plainRoom = places.plain ?? 16 * KIB;
    this.wireRoom = places.wire ?? 16 * KIB;
    this.connection = engine.tlsOpen(of, serverName, expected);
    assert.ok(this.connection >= 0, `tlsOpen: ${this.connection}`);
  }

  get done(): boolean {
    return (this.status & TLS.HANDSHAKE_DONE) !== 0;
  }
  get ended(): boolean {
    return (this.status & TLS.END) !== 0;
  }
  get failed(): boolean {
    return (this.status & TLS.FAILED) !== 0;
  }
  get plain(): Buffer {
    return Buffer.concat(this.received);
  }

  /** What is to be sent, once. */
  wire(): Buffer {
    const all = Buffer.concat(this.out);
    this.out = [];
    return all;
  }

  receive(input: Uint8Array = new Uint8Array()): this {
    let at = 0;
    for (let calls = 0; calls < 100_000; calls++) {
      const piece = input.subarray(at, at + PLACE);
      this.bytes.set(piece, IN_AT);
      const status = engine.tlsReceive(
        this.connection,
        IN_AT,
        piece.length,
        PLAIN_AT,
        this.plainRoom,
        WIRE_AT,
        this.wireRoom,
      );
      const consumed = this.page[TLS_PAGE.CONSUMED];
      assert.ok(consumed >= 0 && consumed <= piece.length);
      at += consumed;
      const plain = this.page[TLS_PAGE.PLAIN];
      assert.ok(plain <= this.plainRoom);
      if (plain > 0) this.received.push(Buffer.from(this.bytes.subarray(PLAIN_AT, PLAIN_AT + plain)));
      this.note(status);
      const again = (status & (TLS.MORE_PLAIN | TLS.MORE_WIRE)) !== 0;
      if (!again && (at === input.length || this.failed)) return this;
    }
    assert.fail('the engine never has enough');
  }

  send(payload: Uint8Array): this {
    let at = 0;
    for (let calls = 0; calls < 100_000; calls++) {
      const piece = payload.subarray(at, at + 16 * KIB);
      this.bytes.set(piece, PLAIN_AT);
      const status = engine.tlsSend(this.connection, PLAIN_AT, piece.length, WIRE_AT, this.wireRoom);
      at += this.page[TLS_PAGE.CONSUMED];
      this.note(status);
      if ((status & TLS.MORE_WIRE) === 0 && (at === payload.length || this.failed)) return this;
      if ((status & TLS.HANDSHAKING) !== 0) return this;
    }
    assert.fail('the engine never takes all');
  }

  shutdown(): this {
    this.note(engine.tlsShutdown(this.connection, WIRE_AT, this.wireRoom));
    return this;
  }

  close(): void {
    engine.tlsClose(this.connection);
  }

  get peer() {
    return engine.tlsPeer(this.connection);
  }

  /** Why it failed. */
  get why(): string {
    return [engine.tlsReason(this.reason), engine.tlsVerifyReason(this.verify)]
      .filter((words) => words !== '')
      .join(': ');
  }

  private note(status: number): void {
    this.status |= status & ~(TLS.HANDSHAKING | TLS.MORE_PLAIN | TLS.MORE_WIRE);
    this.reason = this.page[TLS_PAGE.REASON];
    this.verify = this.page[TLS_PAGE.VERIFY];
    this.alert = this.page[TLS_PAGE.ALERT];
    const wire = this.page[TLS_PAGE.WIRE];
    assert.ok(wire <= this.wireRoom);
    if (wire > 0) this.out.push(Buffer.from(this.bytes.subarray(WIRE_AT, WIRE_AT + wire)));
  }
}

/** Passes on what each end writes, in pieces of `size`, until neither writes any more. */
export function converse(client: End, server: End, size = Number.POSITIVE_INFINITY): void {
  if (!client.done) client.receive();
  for (let turns = 0; turns < 1000; turns++) {
    const there = client.wire();
    const back = server.wire();
    if (there.length + back.length === 0) return;
    for (const piece of pieces(there, size)) server.receive(piece);
    for (const piece of pieces(back, size)) client.receive(piece);
  }
  assert.fail('the two never come to an end');
}

export function* pieces(bytes: Buffer, size: number): Iterable<Buffer> {
  if (size >= bytes.length) yield bytes;
  else for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
