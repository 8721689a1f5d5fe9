// A raw HTTP/2 peer over TCP for tests: says whatever it is told to, right or wrong, and checks that what it hears is right.
// Its use reads as a conversation:
//
//   const peer = await H2Peer.connect(port);
//   peer.preface();
//   await peer.settings({ INITIAL_WINDOW_SIZE: 1 });
//   peer.headers(1, GET, END_STREAM);
//   await peer.expect('GOAWAY', { code: 'PROTOCOL_ERROR' });
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  ACK,
  type Code,
  codeNumber,
  END_HEADERS,
  END_STREAM,
  type FrameType,
  frame,
  MAGIC,
  SETTINGS,
  type SettingValues,
  settingsPayload,
  u32,
} from './h2-frames.js';
import { type Frame, Inbox, type Response, type Want } from './h2-inbox.js';
import { Incoming } from './h2-incoming.js';
import { Rules } from './h2-rules.js';
import { Windows } from './h2-windows.js';
import { encodeBlock, type Pair } from './naive-hpack.js';

const HOST = '127.0.0.1';
/** What a frame may hold where nothing else was agreed (RFC 9113 section 4.2). */
const FRAME_OCTETS = 16_384;

export interface PeerOptions {
  /** Acknowledges SETTINGS; yes by default. */
  readonly ackSettings?: boolean;
  /** Answers PING; yes by default. */
  readonly ackPings?: boolean;
  /** Gives the octets of DATA back as they come, for the stream and for the connection; yes by default. */
  readonly credit?: boolean;
}

export type Fields = Readonly<Record<string, string>> | readonly Pair[];

const fieldList = (fields: Fields): readonly Pair[] =>
  Array.isArray(fields) ? (fields as readonly Pair[]) : Object.entries(fields as Readonly<Record<string, string>>);

const sockets = new Set<Socket>();

/** Destroys every connection that is still open: for after a test that failed. */
export function hangUpPeers(): void {
  for (const socket of sockets) socket.destroy();
}

export class H2Peer {
  readonly inbox: Inbox;
  /** The last SETTINGS of the other side, by identifier. */
  readonly theirs = new Map<number, number>();
  /** Called with every frame before it goes into the inbox; true keeps it out. */
  onFrame: ((frame: Frame) => boolean) | null = null;
  private readonly rules: Rules;
  private readonly incoming: Incoming;
  private readonly windows = new Windows();
  /** What our SETTINGS said, in order, until acknowledged. */
  private readonly unacknowledged: (() => void)[] = [];
  private nextStream = 1;
  private pings = 0;

  constructor(
    readonly socket: Socket,
    readonly role: 'client' | 'server',
    private readonly options: PeerOptions = {},
  ) {
    this.rules = new Rules(role);
    this.incoming = new Incoming(role, this.rules, (frame) => this.react(frame));
    this.inbox = new Inbox(role, () => this.check());
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.incoming.read(chunk);
      this.inbox.wake();
    });
    socket.on('end', () => this.inbox.finish('fin'));
    socket.on('error', () => this.inbox.finish('reset'));
    socket.on('close', () => {
      sockets.delete(socket);
      this.inbox.finish('fin');
    });
  }

  /** Frames received of each type, ever. */
  get counts(): ReadonlyMap<string, number> {
    return this.incoming.counts;
  }

  /** How the connection ended; null while it is open. */
  get end(): 'fin' | 'reset' | null {
    return this.inbox.end;
  }

  static async connect(port: number, options: PeerOptions = {}): Promise<H2Peer> {
    const socket = connect({ host: HOST, port });
    await once(socket, 'connect');
    return new H2Peer(socket, 'client', options);
  }

  /** A connection that has said what every client says first, and has heard that its SETTINGS were taken. */
  static async greeted(port: number, settings: SettingValues = {}, options: PeerOptions = {}): Promise<H2Peer> {
    const peer = await H2Peer.connect(port, options);
    peer.preface();
    await peer.settings(settings);
    return peer;
  }

  // What it says

  write(octets: Uint8Array): void {
    if (!this.socket.destroyed) this.socket.write(octets);
  }

  /** Writes, and resolves when the kernel has it all, or the connection has ended. */
  async written(octets: Uint8Array): Promise<void> {
    if (this.end !== null || this.socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.socket.off('close', done);
        resolve();
      };
      this.socket.once('close', done);
      this.socket.write(octets, done);
    });
  }

  preface(): void {
    this.write(MAGIC);
  }

  frame(type: FrameType | number, flags: number, stream: number, payload?: Uint8Array, length?: number): void {
    this.write(frame(type, flags, stream, payload, length));
  }

  /** Sends SETTINGS; resolves when they are acknowledged. */
  settings(values: SettingValues | readonly (readonly [id: number, value: number])[] = {}): Promise<void> {
    this.frame('SETTINGS', 0, 0, settingsPayload(values));
    return this.acknowledged(values);
  }

  /** As `settings`, for a test that has sent the frame by itself. */
  acknowledged(values: SettingValues | readonly (readonly [id: number, value: number])[]): Promise<void> {
    const pairs = Array.isArray(values)
      ? (values as readonly (readonly [number, number])[])
      : Object.entries(values as SettingValues).map(
          ([name, value]) => [SETTINGS[name as keyof SettingValues], value] as const,
        );
    const apply = this.rules.announce(new Map(pairs));
    let acknowledged = false;
    this.unacknowledged.push(() => {
      apply();
      acknowledged = true;
    });
    const done = this.when(() => acknowledged, 'SETTINGS with ACK');
    // Not every test waits for it.
    done.catch(() => undefined);
    return done;
  }

  headers(stream: number, fields: Fields, flags = 0): void {
    this.block(stream, encodeBlock(fieldList(fields)), flags);
  }

  /** A header block, in as many frames as it takes. */
  block(stream: number, octets: Buffer, flags = 0): void {
    for (let at = 0; at === 0 || at < octets.length; at += FRAME_OCTETS) {
      const last = at + FRAME_OCTETS >= octets.length ? END_HEADERS : 0;
      const piece = octets.subarray(at, at + FRAME_OCTETS);
      this.frame(at === 0 ? 'HEADERS' : 'CONTINUATION', last | (at === 0 ? flags : 0), stream, piece);
    }
  }

  /** Sends a request on a stream of its own, and returns that. Without END_STREAM in `flags` it goes on. */
  request(fields: Fields = {}, flags = END_STREAM): number {
    const stream = this.nextStream;
    this.nextStream += 2;
    const given = fieldList(fields);
    const missing = REQUEST.filter(([name]) => !given.some(([key]) => key === name));
    const pseudo = (field: Pair): boolean => field[0].startsWith(':');
    this.headers(stream, [...missing, ...given.filter(pseudo), ...given.filter((field) => !pseudo(field))], flags);
    return stream;
  }

  /** The number that the next request will have. */
  get next(): number {
    return this.nextStream;
  }

  /** Makes the next request have this number, or a test's own frames have used it. */
  skipTo(stream: number): void {
    this.nextStream = stream;
  }

  /** One frame of DATA, whether or not the windows allow it. */
  data(stream: number, octets: Uint8Array | string, flags = 0): void {
    const payload = typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets;
    this.charge(stream, payload.length);
    this.frame('DATA', flags, stream, payload);
  }

  /** Takes octets off what may still be sent, for DATA that a test writes by itself. */
  charge(stream: number, octets: number): void {
    this.windows.charge(stream, octets);
  }

  /** Octets that the window of the connection allows now. */
  get connectionRoomLeft(): number {
    return this.windows.connection;
  }

  /** Octets that the windows of the other side allow on a stream now. */
  room(stream: number): number {
    const initial = this.theirs.get(SETTINGS.INITIAL_WINDOW_SIZE) ?? 65_535;
    return this.windows.room(stream, initial);
  }

  /** Sends `octets` as DATA of at most `most` octets a frame, as the windows of the other side allow. */
  async pour(stream: number, octets: Uint8Array, flags = 0, most = 16_384): Promise<void> {
    for (let at = 0; at < octets.length; ) {
      await this.when(() => this.room(stream) > 0, `room on stream ${stream} after ${at} octets`);
      const to = Math.min(octets.length, at + Math.min(most, this.room(stream)));
      this.data(stream, octets.subarray(at, to), to === octets.length ? flags : 0);
      at = to;
    }
  }

  reset(stream: number, code: Code = 'CANCEL'): void {
    this.frame('RST_STREAM', 0, stream, u32(codeNumber(code)));
  }

  windowUpdate(stream: number, increment: number): void {
    this.credited(stream, increment);
    this.frame('WINDOW_UPDATE', 0, stream, u32(increment));
  }

  /** Counts octets that a test gives back in frames of its own. */
  credited(stream: number, octets: number): void {
    this.rules.credit(stream, octets);
  }

  goaway(lastStream: number, code: Code = 'NO_ERROR'): void {
    this.frame('GOAWAY', 0, 0, Buffer.concat([u32(lastStream), u32(codeNumber(code))]));
  }

  // What it hears

  /** Takes the next frame of this type and stream, and checks the rest of `want`. Fails at once where it cannot come any more. */
  expect(type: FrameType, want: Want = {}): Promise<Frame> {
    return this.inbox.expect(type, want);
  }

  /** Everything that comes on a stream, until it ends. */
  response(stream: number): Promise<Response> {
    return this.inbox.response(stream);
  }

  /** A round trip: everything said before has been dealt with, and what it caused has arrived. */
  async sync(): Promise<void> {
    const token = Buffer.alloc(8, 0x50);
    token.writeUInt32BE(++this.pings);
    this.frame('PING', 0, 0, token);
    await this.inbox.take(
      (frame) => frame.type === 'PING' && frame.ack && frame.payload.equals(token),
      (frame) => frame.type === 'GOAWAY' && frame.code !== 'NO_ERROR',
      'PING with ACK',
    );
    this.check();
  }

  /** Frames of this type that have arrived and were not taken. */
  arrived(type: FrameType, stream?: number): readonly Frame[] {
    return this.inbox.frames.filter(
      (frame) => frame.type === type && (stream === undefined || frame.stream === stream),
    );
  }

  /** Resolves with how the other side ended the connection. */
  async closed(): Promise<'fin' | 'reset'> {
    await this.inbox.ended();
    this.check();
    return this.end ?? 'fin';
  }

  /** Resolves when `condition` holds, which is asked whenever something has arrived. */
  when(condition: () => boolean, what: string): Promise<void> {
    return this.inbox.when(condition, what);
  }

  /** Throws if anything that came was against the RFC. */
  check(): void {
    const { violations } = this.rules;
    if (violations.length > 0) throw new Error(`against RFC 9113: ${violations.join('; ')}`);
  }

  /** Ends the connection, and resolves when the other side has too. */
  async bye(): Promise<void> {
    if (this.end === null) {
      this.socket.end();
      await this.closed();
    }
    this.socket.destroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  // How it works

  private react(frame: Frame): void {
    const { type, stream, payload, ack } = frame;
    if (type === 'DATA' && this.options.credit !== false) {
      this.giveBack(0, frame.weight);
      if (!frame.endStream) this.giveBack(stream, frame.weight);
    } else if (type === 'SETTINGS' && ack) {
      this.unacknowledged.shift()?.();
    } else if (type === 'SETTINGS') {
      for (let at = 0; at + 6 <= payload.length; at += 6) {
        this.theirs.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
      }
      if (this.options.ackSettings !== false) this.frame('SETTINGS', ACK, 0);
    } else if (type === 'PING' && !ack && this.options.ackPings !== false) {
      this.frame('PING', ACK, 0, payload);
    } else if (type === 'WINDOW_UPDATE') {
      this.windows.widen(stream, frame.increment);
    }
    if (this.onFrame?.(frame) !== true) this.inbox.frames.push(frame);
  }

  /** Gives octets back, some kibibytes at a time. */
  private giveBack(stream: number, octets: number): void {
    const due = this.windows.due(stream, octets);
    if (due > 0) this.windowUpdate(stream, due);
  }
}

/** The request that `H2Peer.request` makes where a test says nothing else. */
export const REQUEST: readonly Pair[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/ok'],
  [':authority', 'conformance.test'],
];
