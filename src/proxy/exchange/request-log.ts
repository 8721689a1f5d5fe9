// Records of exchanges, for the access log and taps. docs/operations.md explains each member. A record fits into one write to a pipe,
// whatever a client has sent.

import { ascii } from '../../http/octets.js';
import type { Core } from '../../http2/shared-state.js';
import { quoted, quotedBytes } from '../../log/json-text.js';
import { isGrpcFailure } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import { VERSION } from '../connect/protocols.js';
import { type Context, MAX_NAME } from '../context.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { type Exchanges, TELEMETRY } from './exchange.js';
import { endReason, OUTCOME } from './outcome.js';
import { REPLY_REASON } from './reply-reasons.js';
import type { RequestSpans } from './request-spans.js';
import type { Spans } from './spans.js';
import type { Taps } from './taps.js';

/** Maximum bytes of each text in a record. */
const MAX_LENGTH = { METHOD: 32, PATH: 1536, AUTHORITY: 256, USER_AGENT: 256, REQUEST_ID: 128 } as const;
const USER_AGENT = ascii('user-agent');
const REQUEST_ID = ascii('x-request-id');
/** Status if the client left before there was one, as in nginx. */
const LEFT = 499;

export class RequestLog {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly permissions: { readonly code: Int32Array },
    private readonly spans: RequestSpans,
    private readonly taps: Taps,
    private readonly traces: Spans,
  ) {}

  /** Keeps details of a new request if anybody may want them; its head is still where it was read. */
  begun(x: ExchangeSlot): void {
    const { context, exchanges } = this;
    if (exchanges.telemetry[x] !== 0) this.forget(x);
    // At high rates, most requests stop here.
    if (context.accessLogged || context.traceFields.sampled || this.taps.look()) this.keep(x);
  }

  /** The exchange is over, with an OUTCOME; `status` is what the client got, 0: no response head. */
  ended(x: ExchangeSlot, outcome: number, status: number, why: number): void {
    if (this.exchanges.telemetry[x] !== 0 || this.context.accessLogged) this.tell(x, outcome, status, why);
  }

  private keep(x: ExchangeSlot): void {
    const { context, exchanges, taps, traces } = this;
    let telemetry = 0;
    if (context.traceFields.sampled) {
      traces.begun(x);
      telemetry = TELEMETRY.SPAN;
    }
    if (taps.active && taps.begun(x)) telemetry |= TELEMETRY.TAP | TELEMETRY.TARGET;
    if (context.accessLogged) telemetry |= TELEMETRY.TARGET;
    if ((telemetry & TELEMETRY.TARGET) !== 0) exchanges.target[x] = this.asked(x);
    exchanges.telemetry[x] = telemetry;
  }

  private tell(x: ExchangeSlot, outcome: number, status: number, why: number): void {
    const { context, exchanges, taps } = this;
    const shown = status === 0 && outcome === OUTCOME.CLIENT_GONE ? LEFT : status;
    if ((exchanges.telemetry[x] & TELEMETRY.SPAN) !== 0) this.traces.end(x, status, outcome, why);
    const tapped = (exchanges.telemetry[x] & TELEMETRY.TAP) !== 0 ? taps.ended(x, status) : 0;
    const logged = context.accessAll || (context.accessLogged && this.failed(x, outcome, shown, why));
    if (tapped !== 0 || logged) {
      const record = this.record(x, outcome, shown, why);
      if (logged) context.accessLog.write(record);
      if (tapped !== 0) taps.show(tapped, record);
    }
    if (exchanges.telemetry[x] !== 0) this.forget(x);
  }

  private forget(x: ExchangeSlot): void {
    const { telemetry, target } = this.exchanges;
    if ((telemetry[x] & TELEMETRY.SPAN) !== 0) this.traces.forget(x);
    if ((telemetry[x] & TELEMETRY.TAP) !== 0) this.taps.leave(x);
    telemetry[x] = 0;
    target[x] = undefined;
  }

  private record(x: ExchangeSlot, outcome: number, status: number, why: number): string {
    const { exchanges } = this;
    const head = (exchanges.telemetry[x] & TELEMETRY.TARGET) !== 0 ? exchanges.target[x] : undefined;
    let line = `"message":"request",${head ?? this.unread(x)},"status":${status}`;
    // A request whose head could not be parsed has no beginning: the columns hold values of another one.
    if (head !== undefined && exchanges.grpc[x] === 1 && exchanges.grpcStatus[x] >= 0)
      line += `,"grpcStatus":${exchanges.grpcStatus[x]}`;
    const reason = endReason(outcome, why);
    if (reason !== '') line += `,"reason":"${reason}"`;
    line += head === undefined ? ',"endpoint":""' : this.rule(x) + this.course(x);
    if (outcome === OUTCOME.ABORTED || outcome === OUTCOME.CLIENT_GONE) line += ',"unanswered":true';
    return line;
  }

  /** A tunnel between two sockets is relayed as opaque; its client's socket has carried messages until now. */
  tunnelBegun(client: SocketSlot): void {
    const { connections, sockets } = this.context;
    this.exchanges.received[client] = -connections.read[client];
    this.exchanges.sent[client] = -(connections.written[client] + sockets.queued[client]);
  }

  tunnelEnded(client: SocketSlot, reason: number): boolean {
    const { exchanges, context } = this;
    const x = exchanges.ofSocket(client);
    const telemetry = exchanges.telemetry[x];
    if (telemetry === 0) return false;
    exchanges.received[x] += context.connections.read[client];
    exchanges.sent[x] += context.connections.written[client];
    this.ended(x, OUTCOME.TUNNEL, exchanges.status[x], reason);
    return (telemetry & TELEMETRY.TARGET) !== 0;
  }

  private failed(x: ExchangeSlot, outcome: number, status: number, why: number): boolean {
    const { grpc, grpcStatus } = this.exchanges;
    switch (outcome) {
      case OUTCOME.COMPLETE:
        return (
          status >= 500 || (grpc[x] === 1 && status === 200 && (grpcStatus[x] < 0 || isGrpcFailure(grpcStatus[x])))
        );
      // A client that leaves in the middle of a response may have had enough of it, as with event streams.
      case OUTCOME.CLIENT_GONE:
        return status === LEFT;
      case OUTCOME.TUNNEL:
        return why !== CLOSE.OK && why !== CLOSE.DRAIN;
      // An OPTIONS addressed to this proxy got what it asked for.
      case OUTCOME.LOCAL_REPLY:
        return why !== REPLY_REASON.MAX_FORWARDS || status !== 200;
      default:
        return true;
    }
  }

  /** The authorization rule that decided, if any. */
  private rule(x: ExchangeSlot): string {
    const { authorization } = this.context;
    if (!authorization.active) return '';
    const name = authorization.ruleName(this.exchanges.client(x, this.core), this.permissions.code[x]);
    return name === '' ? '' : `,"rule":${quoted(name, MAX_NAME)}`;
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

  /** Method, path and the like. */
  private asked(x: ExchangeSlot): string {
    const { spans } = this;
    spans.locate(x);
    const method = this.text(spans.methodAt, spans.methodEnd, MAX_LENGTH.METHOD);
    const path = this.text(spans.targetAt, spans.targetEnd, MAX_LENGTH.PATH);
    const authority = this.text(spans.authorityAt, spans.authorityEnd, MAX_LENGTH.AUTHORITY);
    const version = this.exchanges.isStream(x) ? 'HTTP/2' : spans.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    let more = '';
    if (spans.find(x, USER_AGENT)) more += `,"userAgent":${this.found(MAX_LENGTH.USER_AGENT)}`;
    if (spans.find(x, REQUEST_ID)) more += `,"requestId":${this.found(MAX_LENGTH.REQUEST_ID)}`;
    const trace = this.traces.idOf(x);
    if (trace !== '') more += `,"traceId":"${trace}"`;
    return `${this.who(x)},"clientProtocol":"${version}","method":${method},"path":${path},"authority":${authority}${more}`;
  }

  /** For a request whose head could not be parsed. */
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
    return `${context.describeClient(socket)},"service":${quoted(name, MAX_NAME)}`;
  }

  private found(most: number): string {
    return this.text(this.spans.valueAt, this.spans.valueEnd, most);
  }

  private text(start: number, end: number, most: number): string {
    return start < 0 ? '""' : quotedBytes(this.context.bytes, start, end, most);
  }
}
