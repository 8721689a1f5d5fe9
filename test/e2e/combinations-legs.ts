// One exchange as the two ends of Sluice see it, whichever version of HTTP they speak: a call of a client, an arrival at an
// endpoint. Both versions have the same verbs, so that one test body runs over all combinations.
import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { END_STREAM } from '../support/h2-frames.js';
import { type Fields, fieldOf, H2Endpoint, H2Peer, type Arrival as Http2Request } from '../support/h2-peer.js';
import { type Message, type Upstream, upstream, type Wire, client as wireTo } from '../support/http.js';

export type Version = 1 | 2;

/** What a client asks for. */
export interface Wish {
  readonly method?: string;
  readonly path?: string;
  readonly fields?: Readonly<Record<string, string>>;
  /** Octets of the body that follows, or chunks where that is not known; none by default. */
  readonly body?: number | 'chunked';
  /** A tunnel instead of a request. */
  readonly tunnel?: Tunnel;
}

export type Tunnel = 'CONNECT' | 'WebSocket';

export interface Answer {
  /** 0 where none came. */
  readonly status: number;
  readonly interim: readonly number[];
  readonly body: string;
  readonly trailers: ReadonlyMap<string, string>;
  /** False where the response was cut off, so that nobody can take it for complete. */
  readonly whole: boolean;
  field(name: string): string | null;
}

/** How one direction ended: in order, or by a reset. */
export type End = 'end' | 'reset';

/** A connection to an endpoint: another one is another object. */
export interface Connection {
  readonly socket: Socket;
}

/** What both ends can do with their body, or with their direction of a tunnel. */
export interface Leg {
  write(octets: string | Uint8Array): void;
  /** Ends what is written. */
  finish(trailers?: Readonly<Record<string, string>>): void;
  /** Takes `length` octets of a tunnel. */
  read(length: number): Promise<string>;
  /** Resolves when the other side has ended its direction. */
  ended(): Promise<End>;
  /** How it has ended so far. */
  readonly over: End | null;
  /** It has been reset, be it behind its end. */
  readonly broken: boolean;
  /** Breaks the exchange off: RST_STREAM, or the RST of its connection. */
  abort(): void;
}

export interface Call extends Leg {
  answer(): Promise<Answer>;
  /** Resolves when a tunnel is agreed to. */
  agreed(): Promise<{ field(name: string): string | null }>;
  /** Resolves when the next interim response has come. */
  interim(): Promise<number>;
  /** Resolves when `text` has come in the body. */
  seen(text: string): Promise<void>;
}

/** A connection of a client. */
export interface Line {
  ask(wish: Wish): Call;
  /** Resolves when the kernel has taken what was asked. */
  flushed(): Promise<void>;
  close(): void;
}

export interface Arrived extends Leg {
  readonly method: string;
  readonly path: string;
  readonly connection: Connection;
  field(name: string): string | null;
  /** The rest of the request; rejects where it is cut off. */
  whole(): Promise<{ readonly body: string; readonly trailers: ReadonlyMap<string, string> }>;
  interim(status: number, fields?: Readonly<Record<string, string>>): void;
  /** The head of a response: with a content-length, or a body whose length is not known. */
  begin(status: number, fields?: Readonly<Record<string, string>>): void;
  /** A whole response. */
  respond(status: number, fields?: Readonly<Record<string, string>>, body?: string): void;
  /** Agrees to a tunnel. */
  agree(fields?: Readonly<Record<string, string>>): void;
  /** What no client may be told as it is. */
  garbage(): void;
  /** Resolves when the request has been taken back, or its connection has ended. */
  gone(): Promise<void>;
}

export interface Origin {
  readonly address: string;
  /** Requests that have arrived, ever. */
  readonly requests: number;
  /** The next request for `path`; null is a CONNECT. */
  next(path: string | null): Promise<Arrived>;
  /** Ends every connection. */
  quiet(): Promise<void>;
  close(): Promise<void>;
}

const AUTHORITY = 'combinations.test:80';
/** What a frame may hold where nothing else was agreed (RFC 9113 section 4.2). */
const FRAME_OCTETS = 16_384;
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const bytesOf = (octets: string | Uint8Array): Buffer =>
  typeof octets === 'string' ? Buffer.from(octets, 'latin1') : Buffer.from(octets);
const lines = (fields: Readonly<Record<string, string>>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
const lower = (fields: readonly (readonly [string, string])[]): Map<string, string> =>
  new Map(fields.map(([name, value]) => [name.toLowerCase(), value]));

/** Ends a connection, and resolves when the kernel has it closed. */
export function lose({ socket }: Connection, how: 'fin' | 'reset'): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
    if (how === 'fin') socket.destroy();
    else socket.resetAndDestroy();
  });
}

// HTTP/1.

abstract class WireLeg implements Leg {
  protected chunked = false;

  constructor(protected readonly wire: Wire) {}

  write(octets: string | Uint8Array): void {
    const bytes = bytesOf(octets);
    if (this.chunked) this.wire.write(`${bytes.length.toString(16)}\r\n`);
    this.wire.write(bytes);
    if (this.chunked) this.wire.write('\r\n');
  }

  finish(trailers: Readonly<Record<string, string>> = {}): void {
    if (this.chunked) this.wire.write(`0\r\n${lines(trailers)}\r\n`);
    else if (this.tunnel) this.wire.fin();
  }

  async read(length: number): Promise<string> {
    return (await this.wire.read(length)).toString('latin1');
  }

  async ended(): Promise<End> {
    return (await this.wire.closed()) === 'fin' ? 'end' : 'reset';
  }

  get over(): End | null {
    return this.wire.end === undefined ? null : this.wire.end === 'fin' ? 'end' : 'reset';
  }

  get broken(): boolean {
    return this.wire.end === 'reset';
  }

  abort(): void {
    this.wire.reset();
  }

  protected abstract readonly tunnel: boolean;
}

class WireCall extends WireLeg implements Call {
  private readonly heard: number[] = [];
  private readonly method: string;
  protected readonly tunnel: boolean;

  constructor(wire: Wire, wish: Wish) {
    super(wire);
    const { body, tunnel, path = '/', fields = {} } = wish;
    this.method = tunnel === 'CONNECT' ? 'CONNECT' : (wish.method ?? 'GET');
    this.tunnel = tunnel !== undefined;
    this.chunked = body === 'chunked';
    const more: Record<string, string> = { ...fields };
    if (body === 'chunked') more['transfer-encoding'] = 'chunked';
    else if (body !== undefined) more['content-length'] = String(body);
    if (tunnel === 'WebSocket') {
      Object.assign(more, { connection: 'Upgrade', upgrade: 'websocket' });
      Object.assign(more, { 'sec-websocket-version': '13', 'sec-websocket-key': KEY });
    }
    const target = tunnel === 'CONNECT' ? AUTHORITY : path;
    // What is said in one breath goes out in one piece.
    wire.socket.cork();
    process.nextTick(() => wire.socket.uncork());
    wire.write(`${this.method} ${target} HTTP/1.1\r\nhost: ${AUTHORITY}\r\n${lines(more)}\r\n`);
  }

  async answer(): Promise<Answer> {
    for (;;) {
      let message: Message;
      try {
        message = await this.wire.message({ method: this.method });
      } catch {
        return this.cut();
      }
      if (message.status >= 200) return this.all(message);
      this.heard.push(message.status);
    }
  }

  async agreed(): Promise<Message> {
    const message = await this.wire.message({ method: this.method });
    if (message.status !== 101 && message.status !== 200) throw new Error(`no tunnel: ${message.start}`);
    return message;
  }

  async interim(): Promise<number> {
    const { status } = await this.wire.message({ method: this.method });
    this.heard.push(status);
    return status;
  }

  async seen(text: string): Promise<void> {
    await this.wire.until(() => this.wire.text.includes(text), text);
  }

  private all({ status, body, trailers, field }: Message): Answer {
    const text = body.toString('latin1');
    return { status, interim: this.heard, body: text, trailers: lower(trailers), whole: true, field };
  }

  private cut(): Answer {
    const { text } = this.wire;
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
    return { status, interim: this.heard, body: text, trailers: new Map(), whole: false, field: () => null };
  }
}

interface Head {
  readonly start: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly length: number;
}

function headOf(bytes: Buffer): Head | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [start = '', ...rest] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const pairs = rest.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { start, fields: lower(pairs), length: end + 4 };
}

class WireArrived extends WireLeg implements Arrived {
  readonly method: string;
  readonly path: string;
  protected tunnel = false;
  private answered = false;
  private unread: boolean;
  private readonly done: () => void;
  /** Resolves when the connection is free for another request. */
  readonly free: Promise<void>;

  constructor(
    wire: Wire,
    private readonly head: Head,
  ) {
    super(wire);
    [this.method = '', this.path = ''] = head.start.split(' ');
    this.unread = head.fields.has('content-length') || head.fields.has('transfer-encoding');
    if (!this.unread) wire.take(head.length);
    let done: () => void = () => undefined;
    this.free = new Promise((resolve) => {
      done = resolve;
    });
    this.done = done;
  }

  get connection(): Connection {
    return this.wire;
  }

  field(name: string): string | null {
    return this.head.fields.get(name) ?? null;
  }

  async whole(): Promise<{ body: string; trailers: ReadonlyMap<string, string> }> {
    if (!this.unread) return { body: '', trailers: new Map() };
    const { body, trailers } = await this.wire.message();
    this.unread = false;
    this.next();
    return { body: body.toString('latin1'), trailers: lower(trailers) };
  }

  interim(status: number, fields: Readonly<Record<string, string>> = {}): void {
    this.wire.write(`HTTP/1.1 ${status} Interim\r\n${lines(fields)}\r\n`);
  }

  begin(status: number, fields: Readonly<Record<string, string>> = {}): void {
    this.chunked = fields['content-length'] === undefined;
    const framing = this.chunked ? 'transfer-encoding: chunked\r\n' : '';
    this.wire.write(`HTTP/1.1 ${status} Status\r\n${lines(fields)}${framing}\r\n`);
  }

  respond(status: number, fields: Readonly<Record<string, string>> = {}, body = ''): void {
    const bare = status === 204 || status === 304 || fields['content-length'] !== undefined;
    const length = bare ? '' : `content-length: ${body.length}\r\n`;
    this.wire.write(`HTTP/1.1 ${status} Status\r\n${lines(fields)}${length}\r\n${body}`);
    this.answered = true;
    this.next();
  }

  override finish(trailers: Readonly<Record<string, string>> = {}): void {
    super.finish(trailers);
    if (this.tunnel) return;
    this.answered = true;
    this.next();
  }

  agree(fields: Readonly<Record<string, string>> = {}): void {
    this.tunnel = true;
    const key = this.field('sec-websocket-key');
    if (key === null) {
      this.wire.write(`HTTP/1.1 200 OK\r\n${lines(fields)}\r\n`);
      return;
    }
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    const upgrade = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-accept': accept };
    this.wire.write(`HTTP/1.1 101 Switching Protocols\r\n${lines({ ...upgrade, ...fields })}\r\n`);
  }

  garbage(): void {
    this.wire.write('SSH-2.0-OpenSSH_9.6\r\n\r\n');
  }

  async gone(): Promise<void> {
    await this.wire.closed();
  }

  private next(): void {
    if (this.answered && !this.unread) this.done();
  }
}

class WireOrigin implements Origin {
  requests = 0;
  private readonly arrivals: Arrived[] = [];
  private readonly waiting = new Map<string, (arrived: Arrived) => void>();

  private constructor(private readonly server: Upstream) {}

  static async listen(): Promise<WireOrigin> {
    const server = await upstream();
    const origin = new WireOrigin(server);
    server.script((wire) => origin.serve(wire));
    return origin;
  }

  get address(): string {
    return this.server.address;
  }

  next(path: string | null): Promise<Arrived> {
    const wanted = path ?? AUTHORITY;
    const at = this.arrivals.findIndex((arrived) => arrived.path === wanted);
    const [ready] = at < 0 ? [] : this.arrivals.splice(at, 1);
    return ready === undefined ? new Promise((resolve) => this.waiting.set(wanted, resolve)) : Promise.resolve(ready);
  }

  async quiet(): Promise<void> {
    for (const { socket } of this.server.connections) socket.destroy();
    this.arrivals.length = 0;
    this.waiting.clear();
  }

  close(): Promise<void> {
    return this.server.close();
  }

  private async serve(wire: Wire): Promise<void> {
    for (;;) {
      const arrived = new WireArrived(wire, await wire.until(() => headOf(wire.bytes), 'a request'));
      this.requests++;
      const wants = this.waiting.get(arrived.path);
      this.waiting.delete(arrived.path);
      if (wants === undefined) this.arrivals.push(arrived);
      else wants(arrived);
      await arrived.free;
    }
  }
}

// HTTP/2.

abstract class StreamLeg implements Leg {
  private taken = 0;

  constructor(
    protected readonly peer: H2Peer,
    protected readonly stream: number,
  ) {}

  write(octets: string | Uint8Array): void {
    const bytes = bytesOf(octets);
    for (let at = 0; at < bytes.length; at += FRAME_OCTETS)
      this.peer.data(this.stream, bytes.subarray(at, at + FRAME_OCTETS));
  }

  finish(trailers?: Readonly<Record<string, string>>): void {
    if (trailers !== undefined) this.peer.headers(this.stream, trailers, END_STREAM);
    else this.peer.data(this.stream, '', END_STREAM);
  }

  async read(length: number): Promise<string> {
    await this.peer.when(() => this.over === 'reset' || this.body.length >= this.taken + length, `${length} octets`);
    if (this.body.length < this.taken + length) throw new Error(`reset before ${length} octets`);
    this.taken += length;
    return this.body.subarray(this.taken - length, this.taken).toString('latin1');
  }

  async ended(): Promise<End> {
    await this.peer.when(() => this.over !== null, `the end of stream ${this.stream}`);
    this.peer.check();
    return this.over ?? 'reset';
  }

  get over(): End | null {
    const { peer } = this;
    if (this.remoteEnd) return 'end';
    return this.broken || peer.end !== null ? 'reset' : null;
  }

  get broken(): boolean {
    return this.peer.arrived('RST_STREAM', this.stream).length > 0;
  }

  abort(): void {
    this.peer.reset(this.stream, this.peer.role === 'client' ? 'CANCEL' : 'INTERNAL_ERROR');
  }

  protected get remoteEnd(): boolean {
    const { peer, stream } = this;
    return [...peer.arrived('DATA', stream), ...peer.arrived('HEADERS', stream)].some(({ endStream }) => endStream);
  }

  protected get body(): Buffer {
    return Buffer.concat(this.peer.arrived('DATA', this.stream).map(({ payload }) => payload));
  }
}

class StreamCall extends StreamLeg implements Call {
  private told = 0;

  async answer(): Promise<Answer> {
    const { peer, stream } = this;
    // Where the connection ends instead, that is the answer.
    await peer.when(() => this.over !== null, 'the end of the response').catch(() => undefined);
    peer.check();
    const heads = peer.arrived('HEADERS', stream).map(({ fields }) => fields);
    const statusOf = (fields: (typeof heads)[number]): number => Number(fieldOf(fields, ':status') ?? 0);
    const at = heads.findIndex((fields) => statusOf(fields) >= 200);
    const final = heads[at] ?? [];
    return {
      status: statusOf(final),
      interim: heads.slice(0, at < 0 ? heads.length : at).map(statusOf),
      body: this.body.toString('latin1'),
      trailers: new Map((at < 0 ? [] : (heads[at + 1] ?? [])).map(({ name, value }) => [name, value])),
      whole: this.remoteEnd,
      field: (name) => fieldOf(final, name),
    };
  }

  async agreed(): Promise<{ field(name: string): string | null }> {
    const { fields } = await this.peer.expect('HEADERS', { stream: this.stream });
    if (fieldOf(fields, ':status') !== '200') throw new Error(`no tunnel: ${fieldOf(fields, ':status')}`);
    return { field: (name) => fieldOf(fields, name) };
  }

  async interim(): Promise<number> {
    const { peer, stream } = this;
    const at = this.told++;
    await peer.when(() => peer.arrived('HEADERS', stream).length > at, 'an interim response');
    return Number(fieldOf(peer.arrived('HEADERS', stream)[at]?.fields ?? [], ':status'));
  }

  async seen(text: string): Promise<void> {
    await this.peer.when(() => this.body.includes(text, 0, 'latin1'), text);
  }
}

class StreamArrived extends StreamLeg implements Arrived {
  readonly method: string;
  readonly path: string;

  constructor(private readonly request: Http2Request) {
    super(request.peer, request.stream);
    this.method = this.field(':method') ?? '';
    this.path = this.field(':path') ?? this.field(':authority') ?? '';
  }

  get connection(): Connection {
    return this.peer;
  }

  field(name: string): string | null {
    return fieldOf(this.request.fields, name);
  }

  async whole(): Promise<{ body: string; trailers: ReadonlyMap<string, string> }> {
    if (!this.request.endStream) await this.peer.when(() => this.over !== null, 'the end of the request');
    if (!this.request.endStream && !this.remoteEnd) throw new Error('the request was reset');
    const [trailers] = this.peer.arrived('HEADERS', this.stream);
    const pairs = (trailers?.fields ?? []).map(({ name, value }): [string, string] => [name, value]);
    return { body: this.body.toString('latin1'), trailers: new Map(pairs) };
  }

  interim(status: number, fields: Readonly<Record<string, string>> = {}): void {
    this.head(status, fields);
  }

  begin(status: number, fields: Readonly<Record<string, string>> = {}): void {
    this.head(status, fields);
  }

  respond(status: number, fields: Readonly<Record<string, string>> = {}, body = ''): void {
    this.head(status, fields, body === '' ? END_STREAM : 0);
    if (body !== '') this.peer.data(this.stream, body, END_STREAM);
  }

  agree(fields: Readonly<Record<string, string>> = {}): void {
    this.head(200, fields);
  }

  garbage(): void {
    this.head(200, { 'Not-Lower': 'case' });
  }

  async gone(): Promise<void> {
    const { peer, stream } = this;
    await peer.when(() => peer.arrived('RST_STREAM', stream).length > 0 || peer.end !== null, 'its being taken back');
  }

  /** Says that this request, and none before it, has not been looked at. */
  goaway(): void {
    this.peer.goaway(Math.max(0, this.stream - 2));
  }

  refuse(): void {
    this.peer.reset(this.stream, 'REFUSED_STREAM');
  }

  private head(status: number, fields: Readonly<Record<string, string>>, flags = 0): void {
    this.peer.headers(this.stream, { ':status': String(status), ...fields }, flags);
  }
}

/** What only an endpoint of HTTP/2 can say. */
export type Unprocessed = Pick<StreamArrived, 'goaway' | 'refuse'>;

export function http2Only(arrived: Arrived): Unprocessed {
  if (arrived instanceof StreamArrived) return arrived;
  throw new Error('not by HTTP/2');
}

class StreamOrigin implements Origin {
  private constructor(private readonly server: H2Endpoint) {}

  static async listen(): Promise<StreamOrigin> {
    const server = await H2Endpoint.listen();
    server.greet = (peer) => void peer.settings({ ENABLE_CONNECT_PROTOCOL: 1 });
    return new StreamOrigin(server);
  }

  get address(): string {
    return this.server.address;
  }

  get requests(): number {
    return this.server.requests;
  }

  async next(path: string | null): Promise<Arrived> {
    return new StreamArrived(await this.server.request(path));
  }

  async quiet(): Promise<void> {
    for (const peer of this.server.peers.splice(0)) peer.destroy();
    await this.server.quiet();
  }

  close(): Promise<void> {
    return this.server.close();
  }
}

export const listen = (version: Version): Promise<Origin> =>
  version === 1 ? WireOrigin.listen() : StreamOrigin.listen();

/** A client's connection. */
export async function dial(version: Version, port: number): Promise<Line> {
  if (version === 1) {
    const wire = await wireTo(port);
    return {
      ask: (wish) => new WireCall(wire, wish),
      flushed: () => wire.sent(''),
      close: () => wire.destroy(),
    };
  }
  const peer = await H2Peer.greeted(port);
  return {
    ask: (wish) => new StreamCall(peer, request(peer, wish)),
    flushed: () => peer.written(Buffer.alloc(0)),
    close: () => peer.destroy(),
  };
}

function request(peer: H2Peer, { method = 'GET', path = '/', fields = {}, body, tunnel }: Wish): number {
  const stream = peer.next;
  let pseudo: Fields = { ':method': method, ':scheme': 'http', ':path': path, ':authority': AUTHORITY };
  if (tunnel === 'CONNECT') pseudo = { ':method': 'CONNECT', ':authority': AUTHORITY };
  else if (tunnel === 'WebSocket') {
    const extended = { ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':path': path };
    pseudo = { ...extended, ':authority': AUTHORITY, 'sec-websocket-version': '13' };
  }
  const length: Record<string, string> = typeof body === 'number' ? { 'content-length': String(body) } : {};
  const flags = body === undefined && tunnel === undefined ? END_STREAM : 0;
  peer.headers(stream, { ...pseudo, ...length, ...fields }, flags);
  peer.skipTo(stream + 2);
  return stream;
}
