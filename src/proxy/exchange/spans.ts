// Spans of requests: started with the request if `TraceFields` has decided so, and reported when it ends (docs/tracing.md). Requests
// without a span allocate nothing.
import { ascii } from '../../http/octets.js';
import type { Core } from '../../http2/shared-state.js';
import { isFailedResponse } from '../../metrics/outcomes.js';
import { responseCell, routeClassOf } from '../../metrics/response-cells.js';
import { NOBODY } from '../../tls/peers.js';
import { TRACE_ID_LENGTH, TraceContext } from '../../tracing/context.js';
import type { Span } from '../../tracing/span.js';
import { VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { ExchangeSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';
import { endReason, OUTCOME } from './outcome.js';
import type { RequestSpans } from './request-spans.js';

/** Maximum number to collect before sending. */
const MAX_HELD = 128;
/** Maximum characters of each text. */
const MAX_TEXT = 1024;
const ORIGIN_MS = performance.timeOrigin;
const USER_AGENT = ascii('user-agent');
const TRACEPARENT = ascii('traceparent');
const B3 = ascii('b3');
const B3_TRACE_ID = ascii('x-b3-traceid');

export class Spans {
  /** Is told of ended spans, and of requests without one because of the rate limit. */
  send: (spans: readonly Span[], skipped: number) => void = () => undefined;
  private readonly traceContext = new TraceContext();
  private readonly open = new Map<ExchangeSlot, Span>();
  private ended: Span[] = [];
  private readonly octets: Buffer;
  private timer: NodeJS.Timeout | undefined;
  private readonly flushLater = (): void => this.flush();

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly spans: RequestSpans,
  ) {
    const { bytes } = context;
    this.octets = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    context.traceFields.onSkipped = () => this.wake();
  }

  /** A request has arrived that `TraceFields` has sampled. */
  begun(x: ExchangeSlot): void {
    this.open.set(x, this.make(x, this.exchanges.client(x, this.core)));
  }

  /** It is over: `status` is what the client got, 0: nothing. */
  end(x: ExchangeSlot, status: number, outcome: number, why: number): void {
    const span = this.open.get(x);
    this.forget(x);
    if (span === undefined) return;
    const { exchanges, context } = this;
    span.endMs = ORIGIN_MS + performance.now();
    span.startMs = span.endMs - Math.max(0, context.reactor.now - exchanges.started[x]);
    span.status = status;
    span.grpcStatus = span.grpc ? exchanges.grpcStatus[x] : -1;
    span.reason = endReason(outcome, why);
    const endpoint = exchanges.endpoint[x];
    if (endpoint >= 0) {
      span.endpoint = context.endpoints.address.get(endpoint);
      span.endpointVersion = exchanges.version[x] === VERSION.HTTP2 ? 'HTTP/2' : 'HTTP/1.1';
    }
    span.latencyUs = exchanges.latencyUs[x];
    span.whole = outcome === OUTCOME.COMPLETE;
    const failed = isFailedResponse(status, span.grpc, span.grpcStatus);
    span.cell = responseCell(routeClassOf(exchanges.methodInHttp1(x), span.grpc), failed);
    span.attempts = exchanges.attempts[x];
    span.received = exchanges.received[x];
    span.sent = exchanges.sent[x];
    this.ended.push(span);
    if (this.ended.length >= MAX_HELD) this.flush();
    else this.wake();
  }

  /** The trace id of a request that has just arrived; '' if it has none. */
  idOf(x: ExchangeSlot): string {
    const { spans, traceContext, context } = this;
    const { bytes } = context;
    traceContext.clear();
    if (spans.find(x, TRACEPARENT)) traceContext.readTraceparent(bytes, spans.valueAt, spans.valueEnd);
    else if (spans.find(x, B3)) traceContext.readB3(bytes, spans.valueAt, spans.valueEnd);
    else if (spans.find(x, B3_TRACE_ID)) traceContext.readTraceId(bytes, spans.valueAt, spans.valueEnd);
    const { traceAt, traceLength } = traceContext;
    return traceLength === 0 ? '' : this.text(traceAt, traceAt + traceLength).padStart(TRACE_ID_LENGTH, '0');
  }

  flush(): void {
    if (this.timer !== undefined) clearTimeout(this.timer);
    this.timer = undefined;
    const { traceFields } = this.context;
    if (this.ended.length === 0 && traceFields.skipped === 0) return;
    this.send(this.ended, traceFields.skipped);
    this.ended = [];
    traceFields.skipped = 0;
  }

  forget(x: ExchangeSlot): void {
    this.open.delete(x);
  }

  private wake(): void {
    this.timer ??= this.context.reactor.later(this.context.traceFields.intervalMs, this.flushLater);
  }

  private make(x: ExchangeSlot, client: number): Span {
    const { context, exchanges, spans } = this;
    const { traceFields, connections, peers, services, sockets } = context;
    spans.locate(x);
    const method = this.text(spans.methodAt, spans.methodEnd);
    const path = this.text(spans.targetAt, spans.targetEnd);
    const authority = this.text(spans.authorityAt, spans.authorityEnd);
    const listener = client < 0 ? -1 : connections.listener[client];
    const service = exchanges.service[x];
    const identity = client < 0 ? NOBODY : peers.identity[client];
    return {
      traceId: traceFields.traceId,
      spanId: traceFields.spanId,
      parentId: traceFields.parentId,
      inbound: listener >= 0 && context.inbound[listener] === 1,
      startMs: 0,
      endMs: 0,
      method,
      path,
      authority,
      userAgent: spans.find(x, USER_AGENT) ? this.text(spans.valueAt, spans.valueEnd) : '',
      version: exchanges.isStream(x) ? 'HTTP/2' : spans.minor === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
      secure: client >= 0 && sockets.layer[client] !== 0,
      client: client < 0 ? '' : connections.peerName(client),
      identity: peers.nameOf(identity),
      listener: listener < 0 ? '' : (context.listenerNames[listener] ?? ''),
      grpc: exchanges.grpc[x] === 1,
      service: service < 0 ? '' : services.name.get(service),
      endpoint: '',
      endpointVersion: '',
      status: 0,
      grpcStatus: -1,
      latencyUs: -1,
      whole: false,
      cell: -1,
      attempts: 0,
      received: 0,
      sent: 0,
      reason: '',
    };
  }

  private text(at: number, end: number): string {
    if (at < 0) return '';
    return this.octets.toString('utf8', at, Math.min(end, at + MAX_TEXT));
  }
}
