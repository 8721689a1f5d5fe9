// The two ends of an exchange where they speak HTTP/1, by hand: see combinations-legs.ts.
import { createHash } from 'node:crypto';
import { client, type Message, type Upstream, upstream, type Wire } from '../support/http.js';
import {
  type Answer,
  type Arrived,
  AUTHORITY,
  bytesOf,
  type Call,
  type Connection,
  type Digest,
  digest,
  type End,
  type Leg,
  type Line,
  type Origin,
  valuesOf,
  type Wish,
} from './combinations-legs.js';

/** What is written at once of much. */
const PIECE_OCTETS = 256 << 10;
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const lines = (fields: Readonly<Record<string, string>>): string =>
  Object.entries(fields)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
const lower = (fields: readonly (readonly [string, string])[]): Map<string, string> =>
  new Map(fields.map(([name, value]) => [name.toLowerCase(), value]));

function chunked(octets: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${octets.length.toString(16)}\r\n`), octets, Buffer.from('\r\n')]);
}

abstract class WireLeg implements Leg {
  protected chunked = false;

  constructor(protected readonly wire: Wire) {}

  write(octets: string | Uint8Array): void {
    const bytes = bytesOf(octets);
    this.wire.write(this.chunked ? chunked(bytes) : bytes);
  }

  async pour(octets: Buffer): Promise<void> {
    const { wire } = this;
    for (let at = 0; at < octets.length; at += PIECE_OCTETS) {
      const piece = octets.subarray(at, at + PIECE_OCTETS);
      await wire.sent(this.chunked ? chunked(piece) : piece);
    }
  }

  hold(): void {
    this.wire.socket.pause();
  }

  async drain(): Promise<Digest> {
    this.wire.socket.resume();
    return digest((await this.wire.message({ method: 'GET' })).body);
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
    // It may have come in several chunks.
    await this.wire.until(() => this.wire.text.replace(/\r\n[0-9a-f]+\r\n/g, '').includes(text), text);
  }

  private all({ status, body, trailers, field, fields }: Message): Answer {
    return {
      status,
      interim: this.heard,
      body: body.toString('latin1'),
      trailers: lower(trailers),
      whole: true,
      code: null,
      field,
      values: (name) => valuesOf(fields, name),
    };
  }

  private cut(): Answer {
    const { text } = this.wire;
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
    return {
      status,
      interim: this.heard,
      body: text,
      trailers: new Map(),
      whole: false,
      code: null,
      field: () => null,
      values: () => [],
    };
  }
}

interface Head {
  readonly start: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly pairs: readonly (readonly [string, string])[];
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
  return { start, fields: lower(pairs), pairs, length: end + 4 };
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

  values(name: string): readonly string[] {
    return valuesOf(this.head.pairs, name);
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

export class WireOrigin implements Origin {
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

/** A client's connection. */
export async function dialHttp1(port: number): Promise<Line> {
  const wire = await client(port);
  return {
    ask: (wish) => new WireCall(wire, wish),
    flushed: () => wire.sent(''),
    close: () => wire.destroy(),
  };
}
