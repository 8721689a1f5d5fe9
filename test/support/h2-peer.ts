// A raw HTTP/2 peer over TCP for tests: says whatever it is told to, right or wrong, and checks that what it hears is right.
// Its use reads as a conversation:
//
//   const peer = await H2Peer.connect(port);
//   peer.preface();
//   await peer.settings({ INITIAL_WINDOW_SIZE: 1 });
//   peer.headers(1, GET, END_STREAM);
//   await peer.expect('GOAWAY', { code: 'PROTOCOL_ERROR' });
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import {
  ACK,
  type Code,
  codeName,
  END_HEADERS,
  END_STREAM,
  type FrameType,
  frame,
  HEADER_OCTETS,
  MAGIC,
  SETTINGS,
  type SettingValues,
  settingsPayload,
  TYPES,
  u32,
} from './h2-frames.js';
import { Rules } from './h2-rules.js';
import { type DecodedField, encodeBlock, type Pair } from './naive-hpack.js';

const HOST = '127.0.0.1';
/** How long a peer waits for what must come: long enough never to be what fails on a slow machine. */
const PATIENCE_MS = 10_000;

/** Octets that are given back at once: not each by itself, as no real peer does. */
const CREDIT_BYTES = 4096;

/** A frame as received. A header block is one frame, however many it came in. */
export interface Frame {
  /** The name in the RFC, or a number. */
  readonly type: FrameType | `0x${string}`;
  readonly flags: number;
  readonly stream: number;
  /** DATA: the data without padding. HEADERS: the whole block. Else as it came. */
  readonly payload: Buffer;
  readonly endStream: boolean;
  readonly ack: boolean;
  /** Of HEADERS. */
  readonly fields: readonly DecodedField[];
  /** Of RST_STREAM and GOAWAY. */
  readonly code: string;
  /** Of GOAWAY. */
  readonly lastStream: number;
  /** Of WINDOW_UPDATE. */
  readonly increment: number;
  /** Octets of flow control, of DATA. */
  readonly weight: number;
}

export interface Want {
  readonly stream?: number;
  /** One of these. */
  readonly code?: Code | readonly Code[];
  readonly ack?: boolean;
  readonly endStream?: boolean;
  readonly lastStream?: number;
}

export interface Response {
  /** 0 where the stream was reset before. */
  readonly status: number;
  readonly fields: readonly DecodedField[];
  readonly body: Buffer;
  readonly trailers: readonly DecodedField[];
  /** The statuses before the final one. */
  readonly interim: readonly number[];
  /** The code of RST_STREAM, if that is how it ended. */
  readonly reset: string | null;
  field(name: string): string | null;
}

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

export const fieldOf = (fields: readonly DecodedField[], name: string): string | null =>
  fields.find((field) => field.name === name)?.value ?? null;

const sockets = new Set<Socket>();

/** Destroys every connection that is still open: for after a test that failed. */
export function hangUpPeers(): void {
  for (const socket of sockets) socket.destroy();
}

export class H2Peer {
  /** Received and not taken yet. */
  inbox: Frame[] = [];
  /** How the connection ended; null while it is open. */
  end: 'fin' | 'reset' | null = null;
  /** The last SETTINGS of the other side, by identifier. */
  readonly theirs = new Map<number, number>();
  /** Frames received of each type, ever. */
  readonly counts = new Map<string, number>();
  /** Called with every frame before it goes into the inbox; true keeps it out. */
  onFrame: ((frame: Frame) => boolean) | null = null;
  private readonly rules: Rules;
  private pending: Buffer = Buffer.alloc(0);
  private block: { readonly stream: number; readonly flags: number; readonly parts: Buffer[] } | null = null;
  private readonly waiting = new Set<() => void>();
  /** What our SETTINGS said, in order, until acknowledged. */
  private readonly unacknowledged: (() => void)[] = [];
  private nextStream = 1;
  private pings = 0;
  /** What may still be sent: on the connection, and on streams less their initial window. */
  private connectionRoom = 65_535;
  private readonly streamRoom = new Map<number, number>();
  /** Octets received and not given back. */
  private readonly owed = new Map<number, number>();
  private magic: boolean;

  constructor(
    readonly socket: Socket,
    readonly role: 'client' | 'server',
    private readonly options: PeerOptions = {},
  ) {
    this.rules = new Rules(role);
    this.magic = role === 'server';
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.receive(chunk));
    socket.on('end', () => this.finish('fin'));
    socket.on('error', () => this.finish('reset'));
    socket.on('close', () => {
      sockets.delete(socket);
      this.finish('fin');
    });
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
    this.frame('HEADERS', flags | END_HEADERS, stream, encodeBlock(fieldList(fields)));
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
    this.connectionRoom -= octets;
    this.streamRoom.set(stream, (this.streamRoom.get(stream) ?? 0) - octets);
  }

  /** Octets that the window of the connection allows now. */
  get connectionRoomLeft(): number {
    return this.connectionRoom;
  }

  /** Octets that the windows of the other side allow on a stream now. */
  room(stream: number): number {
    const initial = this.theirs.get(SETTINGS.INITIAL_WINDOW_SIZE) ?? 65_535;
    return Math.min(this.connectionRoom, initial + (this.streamRoom.get(stream) ?? 0));
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
  async expect(type: FrameType, want: Want = {}): Promise<Frame> {
    const codes = want.code === undefined ? null : typeof want.code === 'string' ? [want.code] : want.code;
    const what = `${type} ${JSON.stringify(want)}`;
    const found = await this.until(
      this.take(
        (frame) =>
          frame.type === type &&
          (want.stream === undefined || frame.stream === want.stream) &&
          (want.ack === undefined || frame.ack === want.ack) &&
          // A farewell may come in two steps (section 6.8).
          !(type === 'GOAWAY' && codes !== null && frame.code === 'NO_ERROR' && !codes.includes('NO_ERROR')),
        (frame) =>
          type !== 'GOAWAY' &&
          ((frame.type === 'GOAWAY' && frame.code !== 'NO_ERROR') ||
            (frame.type === 'RST_STREAM' && type !== 'RST_STREAM' && frame.stream === want.stream)),
        what,
      ),
      what,
    );
    if (codes !== null && !(codes as readonly string[]).includes(found.code)) {
      throw new Error(`${type} on stream ${found.stream} says ${found.code} instead of ${codes.join(' or ')}`);
    }
    if (want.endStream !== undefined && want.endStream !== found.endStream) {
      throw new Error(`${type} on stream ${found.stream} ${found.endStream ? 'has' : 'lacks'} END_STREAM`);
    }
    if (want.lastStream !== undefined && want.lastStream !== found.lastStream) {
      throw new Error(`${type} has the last stream ${found.lastStream} instead of ${want.lastStream}`);
    }
    this.check();
    return found;
  }

  /** Everything that comes on a stream, until it ends. */
  async response(stream: number): Promise<Response> {
    const interim: number[] = [];
    const chunks: Buffer[] = [];
    let fields: readonly DecodedField[] | null = null;
    let trailers: readonly DecodedField[] = [];
    let reset: string | null = null;
    for (let ended = false; !ended; ) {
      const what = `the response on stream ${stream}`;
      const frame = await this.until(
        this.take(
          (one) => one.stream === stream && ['HEADERS', 'DATA', 'RST_STREAM'].includes(one.type),
          (one) => one.type === 'GOAWAY' && one.code !== 'NO_ERROR',
          what,
        ),
        what,
      );
      ended = frame.endStream;
      if (frame.type === 'RST_STREAM') {
        reset = frame.code;
        ended = true;
      } else if (frame.type === 'DATA') chunks.push(frame.payload);
      else if (fields !== null) trailers = frame.fields;
      else {
        const status = Number(fieldOf(frame.fields, ':status'));
        if (status >= 200) fields = frame.fields;
        else interim.push(status);
      }
    }
    this.check();
    const all = fields ?? [];
    return {
      status: Number(fieldOf(all, ':status')),
      fields: all,
      body: Buffer.concat(chunks),
      trailers,
      interim,
      reset,
      field: (name) => fieldOf(all, name),
    };
  }

  /** A round trip: everything said before has been dealt with, and what it caused has arrived. */
  async sync(): Promise<void> {
    const token = Buffer.alloc(8, 0x50);
    token.writeUInt32BE(++this.pings);
    this.frame('PING', 0, 0, token);
    const what = 'PING with ACK';
    await this.until(
      this.take(
        (frame) => frame.type === 'PING' && frame.ack && frame.payload.equals(token),
        (frame) => frame.type === 'GOAWAY' && frame.code !== 'NO_ERROR',
        what,
      ),
      what,
    );
    this.check();
  }

  /** Frames of this type that have arrived and were not taken. */
  arrived(type: FrameType, stream?: number): readonly Frame[] {
    return this.inbox.filter((frame) => frame.type === type && (stream === undefined || frame.stream === stream));
  }

  /** Resolves with how the other side ended the connection. */
  async closed(): Promise<'fin' | 'reset'> {
    await this.until(
      this.event(() => this.end !== null),
      'the end of the connection',
    );
    this.check();
    return this.end ?? 'fin';
  }

  /** Resolves when `condition` holds, which is asked whenever something has arrived. */
  when(condition: () => boolean, what: string): Promise<void> {
    return this.until(
      this.event(() => {
        if (this.end !== null && !condition())
          throw new Error(`the connection ended before ${what}; ${this.summary()}`);
        return condition();
      }),
      what,
    );
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

  private receive(chunk: Buffer): void {
    this.pending = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    if (this.magic) {
      if (this.pending.length < MAGIC.length) return;
      if (!this.pending.subarray(0, MAGIC.length).equals(MAGIC)) this.rules.broken('no connection preface (3.4)');
      this.pending = this.pending.subarray(MAGIC.length);
      this.magic = false;
    }
    while (this.pending.length >= HEADER_OCTETS) {
      const end = HEADER_OCTETS + this.pending.readUIntBE(0, 3);
      if (this.pending.length < end) break;
      const octets = this.pending.subarray(0, end);
      this.pending = this.pending.subarray(end);
      this.dispatch(octets);
    }
    for (const wake of [...this.waiting]) wake();
  }

  private dispatch(octets: Buffer): void {
    const number = octets[3] ?? 0;
    const type = TYPES[number] ?? (`0x${number.toString(16)}` as const);
    const flags = octets[4] ?? 0;
    const stream = octets.readUInt32BE(5) & 0x7fffffff;
    const payload = octets.subarray(HEADER_OCTETS);
    this.counts.set(type, (this.counts.get(type) ?? 0) + 1);
    if (!this.rules.frame(type, flags, octets.readUInt32BE(5), payload, this.block?.stream ?? 0)) return;
    const make = (more: Partial<Frame> = {}): Frame => ({
      type,
      flags,
      stream,
      payload,
      endStream: (type === 'DATA' || type === 'HEADERS') && (flags & END_STREAM) !== 0,
      ack: (type === 'SETTINGS' || type === 'PING') && (flags & ACK) !== 0,
      fields: [],
      code: '',
      lastStream: 0,
      increment: 0,
      weight: 0,
      ...more,
    });
    switch (type) {
      case 'DATA':
        if (this.options.credit !== false) {
          this.giveBack(0, payload.length);
          if ((flags & END_STREAM) === 0) this.giveBack(stream, payload.length);
        }
        this.keep(make({ payload: this.rules.content(type, flags, payload), weight: payload.length }));
        break;
      case 'HEADERS':
      case 'CONTINUATION': {
        const block = type === 'HEADERS' ? { stream, flags, parts: [] as Buffer[] } : this.block;
        if (block === null) break;
        block.parts.push(type === 'HEADERS' ? this.rules.content(type, flags, payload) : payload);
        this.block = block;
        if ((flags & END_HEADERS) === 0) break;
        this.block = null;
        const whole = Buffer.concat(block.parts);
        const endStream = (block.flags & END_STREAM) !== 0;
        this.keep(
          make({
            type: 'HEADERS',
            flags: block.flags,
            stream: block.stream,
            payload: whole,
            endStream,
            fields: this.rules.headerBlock(block.stream, whole, endStream),
          }),
        );
        break;
      }
      case 'RST_STREAM':
        this.keep(make({ code: codeName(payload.readUInt32BE(0)) }));
        break;
      case 'SETTINGS':
        if (flags & ACK) this.unacknowledged.shift()?.();
        else {
          for (let at = 0; at + 6 <= payload.length; at += 6) {
            this.theirs.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2));
          }
          if (this.options.ackSettings !== false) this.frame('SETTINGS', ACK, 0);
        }
        this.keep(make());
        break;
      case 'PING':
        if ((flags & ACK) === 0 && this.options.ackPings !== false) this.frame('PING', ACK, 0, payload);
        this.keep(make());
        break;
      case 'GOAWAY':
        this.keep(make({ lastStream: payload.readUInt32BE(0), code: codeName(payload.readUInt32BE(4)) }));
        break;
      case 'WINDOW_UPDATE':
        if (stream === 0) this.connectionRoom += payload.readUInt32BE(0);
        else this.streamRoom.set(stream, (this.streamRoom.get(stream) ?? 0) + payload.readUInt32BE(0));
        this.keep(make({ increment: payload.readUInt32BE(0) }));
        break;
      default:
        this.keep(make());
    }
  }

  /** Gives octets back, some kibibytes at a time. */
  private giveBack(stream: number, octets: number): void {
    const owed = (this.owed.get(stream) ?? 0) + octets;
    this.owed.set(stream, owed < CREDIT_BYTES ? owed : 0);
    if (owed >= CREDIT_BYTES) this.windowUpdate(stream, owed);
  }

  private keep(frame: Frame): void {
    if (this.onFrame?.(frame) !== true) this.inbox.push(frame);
  }

  /** Takes the first frame that matches; fails where one came that makes it `hopeless`. */
  private async take(
    matches: (frame: Frame) => boolean,
    hopeless: (frame: Frame) => boolean,
    what: string,
  ): Promise<Frame> {
    let found: Frame | undefined;
    await this.event(() => {
      this.check();
      const at = this.inbox.findIndex(matches);
      if (at >= 0) {
        // At once: somebody else may be looking too.
        [found] = this.inbox.splice(at, 1);
        return true;
      }
      if (this.end !== null) throw new Error(`the connection ended (${this.end}) before ${what}; ${this.summary()}`);
      if (this.inbox.some(hopeless)) throw new Error(`instead of ${what}: ${this.summary()}`);
      return false;
    });
    if (found === undefined) throw new Error(`no ${what}`);
    return found;
  }

  private event(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        try {
          if (!condition()) return;
          resolve();
        } catch (error) {
          reject(error);
        }
        this.waiting.delete(look);
      };
      this.waiting.add(look);
      look();
    });
  }

  private async until<T>(promise: Promise<T>, what: string): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${what} did not come within ${PATIENCE_MS} ms; ${this.summary()}`)),
        PATIENCE_MS,
      ).unref();
    });
    try {
      return await Promise.race([promise, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  private summary(): string {
    const said = this.inbox
      .slice(-12)
      .map(({ type, stream, code, flags, fields }) =>
        [type, stream, code, flags.toString(16), fieldOf(fields, ':status') ?? fieldOf(fields, ':path') ?? '']
          .filter((part) => part !== '')
          .join(' '),
      );
    return `as ${this.role} it has heard [${said.join(', ')}]${this.end === null ? '' : ` and ${this.end}`}`;
  }

  private finish(end: 'fin' | 'reset'): void {
    this.end ??= end;
    for (const wake of [...this.waiting]) wake();
  }
}

/** The request that `H2Peer.request` makes where a test says nothing else. */
export const REQUEST: readonly Pair[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':path', '/ok'],
  [':authority', 'conformance.test'],
];

function codeNumber(code: Code): number {
  return CODE_NUMBERS.get(code) ?? 0;
}
const CODE_NUMBERS = new Map<string, number>(Array.from({ length: 14 }, (_, i) => [codeName(i), i]));

/** A request that has reached an endpoint. */
export interface Arrival {
  readonly peer: H2Peer;
  readonly stream: number;
  readonly fields: readonly DecodedField[];
  readonly endStream: boolean;
}

/**
 * An h2c server of raw peers. Requests for /ok and /echo are answered by themselves; every other is for the test to take with
 * `request`.
 */
export class H2Endpoint {
  /** Every connection, in the order of arrival. */
  readonly peers: H2Peer[] = [];
  /** Requests that have arrived, ever. */
  requests = 0;
  /** What a connection is told first; by default empty SETTINGS. */
  greet: (peer: H2Peer) => void = (peer) => void peer.settings().catch(() => undefined);
  /** For connections to come. */
  options: PeerOptions = {};
  private readonly arrivals: Arrival[] = [];
  private readonly waiting = new Set<() => void>();

  private constructor(
    readonly server: Server,
    readonly port: number,
  ) {}

  static async listen(port = 0): Promise<H2Endpoint> {
    const server = createServer();
    server.listen(port, HOST);
    await once(server, 'listening');
    const endpoint = new H2Endpoint(server, (server.address() as AddressInfo).port);
    server.on('connection', (socket) => endpoint.accept(socket));
    return endpoint;
  }

  get address(): string {
    return `${HOST}:${this.port}`;
  }

  /** Connection number `index`. */
  async connection(index: number): Promise<H2Peer> {
    await this.until(() => this.peers.length > index, `connection ${index} to the endpoint`);
    return this.peers[index] as H2Peer;
  }

  /** Takes the next request that waits for an answer, of this path if one is given; null is a request without. */
  async request(path?: string | null): Promise<Arrival> {
    const at = (): number =>
      this.arrivals.findIndex(({ fields }) => path === undefined || fieldOf(fields, ':path') === path);
    await this.until(() => at() >= 0, `a request${path === undefined ? '' : ` for ${path}`} at the endpoint`);
    return this.arrivals.splice(at(), 1)[0] as Arrival;
  }

  /** Ends every connection, and resolves when the other side has too. */
  async quiet(): Promise<void> {
    await Promise.all(this.peers.map((peer) => peer.bye().catch(() => peer.destroy())));
    this.arrivals.length = 0;
  }

  async close(): Promise<void> {
    for (const peer of this.peers) peer.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private accept(socket: Socket): void {
    const peer = new H2Peer(socket, 'server', this.options);
    const echoes = new Set<number>();
    peer.onFrame = (frame) => {
      if (frame.type === 'RST_STREAM') echoes.delete(frame.stream);
      const path = fieldOf(frame.fields, ':path');
      if (frame.type === 'HEADERS' && (path !== null || fieldOf(frame.fields, ':method') !== null)) {
        this.requests++;
        if (path?.startsWith('/echo')) {
          peer.headers(frame.stream, { ':status': '200' });
          if (frame.endStream) peer.data(frame.stream, '', END_STREAM);
          else echoes.add(frame.stream);
          return true;
        }
        if (path?.startsWith('/ok')) {
          peer.headers(frame.stream, { ':status': '200', 'content-length': '2' });
          peer.data(frame.stream, 'ok', END_STREAM);
          return true;
        }
        this.arrivals.push({ peer, stream: frame.stream, fields: frame.fields, endStream: frame.endStream });
        for (const wake of [...this.waiting]) wake();
        return true;
      }
      if (!echoes.has(frame.stream)) return false;
      if (frame.type === 'DATA') peer.data(frame.stream, frame.payload, frame.endStream ? END_STREAM : 0);
      else if (frame.type === 'HEADERS') {
        peer.headers(
          frame.stream,
          frame.fields.map(({ name, value }): Pair => [name, value]),
          END_STREAM,
        );
      } else return false;
      if (frame.endStream) echoes.delete(frame.stream);
      return true;
    };
    this.peers.push(peer);
    this.greet(peer);
    for (const wake of [...this.waiting]) wake();
  }

  private until(condition: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer);
        this.waiting.delete(look);
      };
      const look = (): void => {
        if (!condition()) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(new Error(`${what} did not come within ${PATIENCE_MS} ms`));
      }, PATIENCE_MS).unref();
      this.waiting.add(look);
      look();
    });
  }
}
