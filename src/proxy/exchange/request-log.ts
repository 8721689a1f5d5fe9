// The records of the access log that tell of exchanges. docs/operations.md has what each member means; a record fits in one write to a
// pipe, whatever a client has sent.

import type { FieldList } from '../../hpack/field-list.js';
import { ascii } from '../../http/octets.js';
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import type { Core } from '../../http2/shared-state.js';
import { quoted, quotedBytes } from '../../log/json-text.js';
import { CLOSE_REASONS, isGrpcFailure } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import { VERSION } from '../connect/protocols.js';
import { type Context, MOST_NAME } from '../context.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';
import { WHY } from './reasons.js';

/** Bytes of each text that a record holds at most. */
const MOST = { METHOD: 32, PATH: 1536, AUTHORITY: 256, USER_AGENT: 256, REQUEST_ID: 128 } as const;
const USER_AGENT = ascii('user-agent');
const REQUEST_ID = ascii('x-request-id');
/** What stands for the status where the client left before there was one, as with nginx. */
const LEFT = 499;
const LOWER = 0x20;

/** How the exchange has ended for the client. */
export const OUTCOME = {
  /** It has got a whole response of the endpoint. */
  WHOLE: 0,
  /** The proxy has answered: `why` is an index into RESPONSE_REASONS. */
  ANSWERED: 1,
  /** The response was cut off: the same. */
  CUT: 2,
  /** The client has left: `why` is the CLOSE of its connection. */
  LEFT: 3,
  /** It was a tunnel: the same, of whichever side ended it. */
  TUNNEL: 4,
} as const;

export class RequestLog {
  private readonly position = { at: 0, length: 0 };

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly permissions: { readonly code: Int32Array },
  ) {}

  /** Keeps what is known of a request that has come: its head is still where it was read. */
  begun(x: ExchangeSlot): void {
    const { exchanges } = this;
    exchanges.target[x] = exchanges.isStream(x) ? this.fromList(x) : this.fromHead(x);
  }

  /** The exchange is over, with an OUTCOME; `status` is what the client has got, 0: no head of a response. */
  ended(x: ExchangeSlot, outcome: number, status: number, why: number): void {
    const { exchanges, context } = this;
    const head = exchanges.target[x];
    exchanges.target[x] = undefined;
    const shown = status === 0 && outcome === OUTCOME.LEFT ? LEFT : status;
    if (!context.accessAll && !this.failed(x, outcome, shown, why)) return;
    let line = `"message":"request",${head ?? this.unread(x)},"status":${shown}`;
    // A request whose head could not be read has no beginning: what the columns hold is of another one.
    if (head !== undefined && exchanges.grpc[x] === 1 && exchanges.grpcStatus[x] >= 0)
      line += `,"grpcStatus":${exchanges.grpcStatus[x]}`;
    const reason = reasonOf(outcome, why);
    if (reason !== '') line += `,"reason":"${reason}"`;
    line += head === undefined ? ',"endpoint":""' : this.rule(x) + this.course(x);
    if (outcome === OUTCOME.CUT || outcome === OUTCOME.LEFT) line += ',"unanswered":true';
    context.accessLog.write(line);
  }

  /** A tunnel between two sockets is relayed as opaque: what its client's socket has carried until now were messages. */
  tunnelBegun(client: SocketSlot): void {
    const { connections, sockets } = this.context;
    this.exchanges.received[client] = -connections.read[client];
    this.exchanges.sent[client] = -(connections.written[client] + sockets.queued[client]);
  }

  tunnelEnded(client: SocketSlot, reason: number): boolean {
    const { exchanges, context } = this;
    const x = exchanges.ofSocket(client);
    if (exchanges.target[x] === undefined) return false;
    exchanges.received[x] += context.connections.read[client];
    exchanges.sent[x] += context.connections.written[client];
    this.ended(x, OUTCOME.TUNNEL, exchanges.status[x], reason);
    return true;
  }

  private failed(x: ExchangeSlot, outcome: number, status: number, why: number): boolean {
    const { grpc, grpcStatus } = this.exchanges;
    switch (outcome) {
      case OUTCOME.WHOLE:
        return (
          status >= 500 || (grpc[x] === 1 && status === 200 && (grpcStatus[x] < 0 || isGrpcFailure(grpcStatus[x])))
        );
      // One that leaves in the middle of a response may have had enough of it, as those that listen to events have.
      case OUTCOME.LEFT:
        return status === LEFT;
      case OUTCOME.TUNNEL:
        return why !== CLOSE.OK && why !== CLOSE.DRAIN;
      // An OPTIONS that was for this proxy has got what it asked for.
      case OUTCOME.ANSWERED:
        return why !== WHY.MAX_FORWARDS || status !== 200;
      default:
        return true;
    }
  }

  /** The rule of authorization that has decided, where there was one. */
  private rule(x: ExchangeSlot): string {
    const { authorization } = this.context;
    if (!authorization.active) return '';
    const name = authorization.ruleName(this.exchanges.client(x, this.core), this.permissions.code[x]);
    return name === '' ? '' : `,"rule":${quoted(name, MOST_NAME)}`;
  }

  /** Endpoint, attempts, bytes and times. */
  private course(x: ExchangeSlot): string {
    const { exchanges, context, core } = this;
    const endpoint = exchanges.endpoint[x];
    let line = `,"endpoint":"${endpoint < 0 ? '' : context.endpoints.address.get(endpoint)}"`;
    if (endpoint >= 0)
      line += `,"endpointProtocol":"${exchanges.version[x] === VERSION.HTTP2 ? 'HTTP/2' : 'HTTP/1.1'}"`;
    line += `,"attempts":${exchanges.attempts[x]},"received":${exchanges.received[x]},"sent":${exchanges.sent[x]}`;
    const elapsed = Math.max(0, context.reactor.now - exchanges.started[x]);
    line += `,"durationMs":${elapsed.toFixed(3)}`;
    if (exchanges.latencyUs[x] >= 0) line += `,"responseMs":${(exchanges.latencyUs[x] / 1000).toFixed(3)}`;
    return exchanges.isStream(x) ? `${line},"stream":${core.streams.id[exchanges.clientStream(x)]}` : line;
  }

  private fromHead(x: ExchangeSlot): string {
    const { head } = this.http1;
    const line = this.text(head.methodStart, head.methodEnd, MOST.METHOD);
    const path = this.text(head.targetStart, head.targetEnd, MOST.PATH);
    const authority = this.text(head.authorityStart, head.authorityEnd, MOST.AUTHORITY);
    const protocol = head.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    let more = '';
    if (this.findInHead(USER_AGENT)) more += `,"userAgent":${this.found(MOST.USER_AGENT)}`;
    if (this.findInHead(REQUEST_ID)) more += `,"requestId":${this.found(MOST.REQUEST_ID)}`;
    return `${this.who(x)},"clientProtocol":"${protocol}","method":${line},"path":${path},"authority":${authority}${more}`;
  }

  private fromList(x: ExchangeSlot): string {
    const { list } = this.core;
    const { facts } = list;
    const host = facts.authorityAt < 0 ? facts.hostAt : facts.authorityAt;
    const hostLength = facts.authorityAt < 0 ? facts.hostLength : facts.authorityLength;
    const line = this.text(facts.methodAt, facts.methodAt + facts.methodLength, MOST.METHOD);
    const path = this.text(facts.pathAt, facts.pathAt + facts.pathLength, MOST.PATH);
    const authority = this.text(host, host + hostLength, MOST.AUTHORITY);
    let more = '';
    if (this.findInList(list, USER_AGENT)) more += `,"userAgent":${this.found(MOST.USER_AGENT)}`;
    if (this.findInList(list, REQUEST_ID)) more += `,"requestId":${this.found(MOST.REQUEST_ID)}`;
    return `${this.who(x)},"clientProtocol":"HTTP/2","method":${line},"path":${path},"authority":${authority}${more}`;
  }

  /** Of a request whose head could not be read. */
  private unread(x: ExchangeSlot): string {
    return `${this.who(x)},"method":"","path":"","authority":""`;
  }

  private who(x: ExchangeSlot): string {
    const { exchanges, context, core } = this;
    const socket = exchanges.isStream(x)
      ? (core.streams.connection[exchanges.clientStream(x)]?.socket ?? -1)
      : exchanges.clientSocket(x);
    const service = exchanges.service[x];
    const name = service < 0 ? '' : context.services.name.get(service);
    return `${context.who(socket)},"service":${quoted(name, MOST_NAME)}`;
  }

  private findInHead(name: Uint8Array): boolean {
    const { head } = this.http1;
    for (let i = 0; i < head.count; i++) {
      const at = head.fields[4 * i];
      if (!this.named(at, head.fields[4 * i + 1] - at, name)) continue;
      this.position.at = head.fields[4 * i + 2];
      this.position.length = head.fields[4 * i + 3] - head.fields[4 * i + 2];
      return true;
    }
    return false;
  }

  private findInList(list: FieldList, name: Uint8Array): boolean {
    const { template } = list;
    return (
      this.findAmong(list, list.count, name) || (template !== null && this.findAmong(template, template.count, name))
    );
  }

  private findAmong(
    columns: Readonly<Record<'nameAt' | 'nameLength' | 'valueAt' | 'valueLength', ArrayLike<number>>>,
    count: number,
    name: Uint8Array,
  ): boolean {
    for (let i = 0; i < count; i++) {
      if (!this.named(columns.nameAt[i], columns.nameLength[i], name)) continue;
      this.position.at = columns.valueAt[i];
      this.position.length = columns.valueLength[i];
      return true;
    }
    return false;
  }

  /** Whether the field name at `at` is `name`, whatever its case. */
  private named(at: number, length: number, name: Uint8Array): boolean {
    const { bytes } = this.context;
    if (length !== name.length) return false;
    for (let i = 0; i < length; i++) if ((bytes[at + i] | LOWER) !== (name[i] | LOWER)) return false;
    return true;
  }

  private found(most: number): string {
    return this.text(this.position.at, this.position.at + this.position.length, most);
  }

  private text(start: number, end: number, most: number): string {
    return start < 0 ? '""' : quotedBytes(this.context.bytes, start, end, most);
  }
}

/** Why, in a word: '' where all went well. */
function reasonOf(outcome: number, why: number): string {
  switch (outcome) {
    case OUTCOME.WHOLE:
      return '';
    case OUTCOME.LEFT:
      if (why === CLOSE.TIMEOUT) return 'client-timeout';
      if (why === CLOSE.PROTOCOL) return 'bad-request';
      return why === CLOSE.LIMIT || why === CLOSE.DRAIN ? CLOSE_REASONS[why] : 'client-left';
    case OUTCOME.TUNNEL:
      return why === CLOSE.OK ? '' : CLOSE_REASONS[why];
    default:
      return RESPONSE_REASONS[why];
  }
}
