// The two ends of an exchange where they speak HTTP/2, by raw peers: see combinations-legs.ts.
import { createHash } from 'node:crypto';
import { H2Endpoint, type Arrival as Http2Request } from '../support/h2-endpoint.js';
import { END_STREAM } from '../support/h2-frames.js';
import { fieldOf } from '../support/h2-inbox.js';
import { type Fields, H2Peer, type PeerOptions } from '../support/h2-peer.js';
import {
  type Answer,
  type Arrived,
  AUTHORITY,
  bytesOf,
  type Call,
  type Connection,
  type Digest,
  type End,
  type Leg,
  type Line,
  type Origin,
  type Wish,
} from './combinations-legs.js';

/** What a frame may hold where nothing else was agreed (RFC 9113 section 4.2). */
const FRAME_OCTETS = 16_384;
/** Octets that are given back at once: not each by itself, as no real peer does. */
const CREDIT_OCTETS = 32 << 10;

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

  pour(octets: Buffer): Promise<void> {
    return this.peer.pour(this.stream, octets);
  }

  hold(): void {
    // It takes what the windows allow, and gives nothing back.
  }

  async drain(): Promise<Digest> {
    const { peer, stream, body } = this;
    const hash = createHash('sha1').update(body);
    let { length } = body;
    let over = this.over !== null;
    let owed = 0;
    const usual = peer.onFrame;
    peer.onFrame = (frame) => {
      if (frame.type !== 'DATA' || frame.stream !== stream) return usual?.(frame) ?? false;
      hash.update(frame.payload);
      length += frame.payload.length;
      over = frame.endStream;
      owed += frame.weight;
      if (owed < CREDIT_OCTETS && !over) return true;
      this.credit(owed, over);
      owed = 0;
      return true;
    };
    this.credit(length, over);
    await peer.when(() => over || this.over !== null, 'the end of a large body');
    peer.check();
    return { length, sha1: hash.digest('hex') };
  }

  private credit(octets: number, over: boolean): void {
    if (octets === 0) return;
    this.peer.windowUpdate(0, octets);
    if (!over) this.peer.windowUpdate(this.stream, octets);
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

const valuesIn = (fields: readonly { readonly name: string; readonly value: string }[], wanted: string): string[] =>
  fields.filter(({ name }) => name === wanted).map(({ value }) => value);

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
      code: peer.arrived('RST_STREAM', stream)[0]?.code ?? null,
      field: (name) => fieldOf(final, name),
      values: (name) => valuesIn(final, name),
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

  values(name: string): readonly string[] {
    return valuesIn(this.request.fields, name);
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

  /** Resolves when its connection has been said goodbye to. */
  async left(): Promise<void> {
    await this.peer.expect('GOAWAY', { code: 'NO_ERROR' });
  }

  private head(status: number, fields: Readonly<Record<string, string>>, flags = 0): void {
    this.peer.headers(this.stream, { ':status': String(status), ...fields }, flags);
  }
}

/** What only an endpoint of HTTP/2 can say. */
export type Unprocessed = Pick<StreamArrived, 'goaway' | 'refuse' | 'left'>;

export function http2Only(arrived: Arrived): Unprocessed {
  if (arrived instanceof StreamArrived) return arrived;
  throw new Error('not by HTTP/2');
}

export class StreamOrigin implements Origin {
  private constructor(private readonly server: H2Endpoint) {}

  static async listen(options: PeerOptions): Promise<StreamOrigin> {
    const server = await H2Endpoint.listen();
    server.options = options;
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

/** A client's connection. */
export async function dialHttp2(port: number, options: PeerOptions): Promise<Line> {
  const peer = await H2Peer.greeted(port, {}, options);
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
