// The proxy's own responses, each with a reason. gRPC clients get a gRPC status: they would read a bare 503 as UNKNOWN or worse.

import { METHOD } from '../../http/methods.js';
import { ascii } from '../../http/octets.js';
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { H2_ERROR } from '../../http2/frame.js';
import type { Http2Machine } from '../../http2/machine.js';
import type { Core } from '../../http2/shared-state.js';
import { SOCKET } from '../../io/sockets.js';
import { S, W } from '../../metrics/layout.js';
import type { Context } from '../context.js';
import type { ResponseWriter } from '../http1/response-writer.js';
import { type Http1Sockets, REQUEST } from '../http1/sockets.js';
import type { ExchangeSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';
import { REPLY_REASON } from './reply-reasons.js';

/** gRPC status codes (grpc.github.io/grpc/core/md_doc_statuscodes.html). */
const GRPC = {
  CANCELLED: 1,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;
/** Status of an answer that is not a refusal: an OPTIONS addressed to this proxy. */
const OK = 200;
const BAD_GATEWAY = 502;
const STATUSES = [200, 400, 403, 408, 414, 417, 421, 431, 501, 502, 503, 504, 505];

/** How a client would interpret RST_STREAM with `code` (gRPC over HTTP/2, section "Errors"). */
function grpcStatusOfReset(code: number): number {
  switch (code) {
    case H2_ERROR.REFUSED_STREAM:
      return GRPC.UNAVAILABLE;
    case H2_ERROR.CANCEL:
      return GRPC.CANCELLED;
    case H2_ERROR.ENHANCE_YOUR_CALM:
      return GRPC.RESOURCE_EXHAUSTED;
    case H2_ERROR.INADEQUATE_SECURITY:
      return GRPC.PERMISSION_DENIED;
    default:
      return GRPC.INTERNAL;
  }
}

/** The gRPC status for a reason, where it is not just UNAVAILABLE. `reset`: the endpoint reset its stream with `code`. */
function grpcStatus(status: number, why: number, code: number, reset: boolean): number {
  if (reset) return grpcStatusOfReset(code);
  // Nothing was processed, and no deadline of the caller has passed.
  if (why === REPLY_REASON.CONNECT_TIMEOUT) return GRPC.UNAVAILABLE;
  if (status === 403) return GRPC.PERMISSION_DENIED;
  if (status === 504) return GRPC.DEADLINE_EXCEEDED;
  if (status === 421 || why === REPLY_REASON.NOT_IMPLEMENTED) return GRPC.UNIMPLEMENTED;
  if (why === REPLY_REASON.HEADER_TOO_LARGE || why === REPLY_REASON.MEMORY || why === REPLY_REASON.POOL_EXHAUSTED)
    return GRPC.RESOURCE_EXHAUSTED;
  if (why === REPLY_REASON.UPSTREAM_PROTOCOL || status < 500) return GRPC.INTERNAL;
  return GRPC.UNAVAILABLE;
}

export class LocalReplies {
  /** Texts of the reasons, each with a newline, in the slab. */
  private readonly textAt: number[];
  private readonly textLength: number[];
  private readonly reasons: number[];
  private readonly plain: number;
  private readonly empty: number;
  private readonly grpcType: number;
  private readonly status = new Map<number, number>();
  private readonly grpcCodes: number[];
  private readonly messages: number[];

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly machine: Http2Machine,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly writer: ResponseWriter,
  ) {
    const { memory } = core;
    const { slab } = context;
    const texts = RESPONSE_REASONS.map((reason) => ascii(`${reason}\n`));
    this.textLength = texts.map((text) => text.length);
    this.textAt = texts.map((text) => {
      const at = slab.fixed(text.length);
      slab.bytes.set(text, at);
      return at;
    });
    this.reasons = RESPONSE_REASONS.map((reason) => memory.constant('sluice-error', reason));
    this.plain = memory.constant('content-type', 'text/plain');
    this.empty = memory.constant('content-length', '0');
    this.grpcType = memory.constant('content-type', 'application/grpc');
    for (const status of STATUSES) this.status.set(status, memory.constant(':status', String(status)));
    this.grpcCodes = Array.from({ length: 17 }, (_, code) => memory.constant('grpc-status', String(code)));
    this.messages = RESPONSE_REASONS.map((reason) => memory.constant('grpc-message', `sluice: ${reason}`));
  }

  /** Sends an answer to the client of the exchange, and counts it. Returns its status. `code` and `reset`: see `grpcStatus`. */
  send(x: ExchangeSlot, status: number, why: number, detail: Uint8Array | null, code: number, reset: boolean): number {
    let reason = why;
    let sent = status;
    if (this.exchanges.isStream(x)) sent = this.stream(x, status, why, code, reset);
    else {
      const client = this.exchanges.clientSocket(x);
      const stays = this.keepsAlive(x, client, status, why);
      if (!stays) this.http1.keepAlive[client] = 0;
      const headOnly = this.exchanges.method[x] === METHOD.HEAD && this.http1.request[client] !== REQUEST.HEAD;
      if (!this.writer.own(client, status, why, detail, headOnly, !stays)) {
        this.http1.keepAlive[client] = 0;
        reason = REPLY_REASON.MEMORY;
        sent = 503;
      }
    }
    this.count(x, reason);
    return sent;
  }

  private count(x: ExchangeSlot, reason: number): void {
    const { exchanges } = this;
    const { values, services, refusals } = this.context;
    const service = exchanges.service[x];
    if (reason !== REPLY_REASON.MAX_FORWARDS)
      refusals.note(reason, exchanges.client(x, this.core), service, exchanges.endpoint[x]);
    values[W.RESPONSE + reason]++;
    if (service >= 0) values[services.base[service] + S.RESPONSE + reason]++;
  }

  /** Whether the client's connection survives the answer: its request was complete and valid, and the failure is upstream. */
  private keepsAlive(x: ExchangeSlot, client: number, status: number, why: number): boolean {
    const { http1, exchanges, context } = this;
    if (http1.keepAlive[client] === 0 || http1.request[client] !== REQUEST.COMPLETE || http1.beginning === client)
      return false;
    if (status < BAD_GATEWAY || why === REPLY_REASON.MEMORY || exchanges.asksForTunnel(x) || context.isDraining(client))
      return false;
    return (context.sockets.flags[client] & SOCKET.EOF) === 0;
  }

  /**
   * Ends a gRPC call whose response has begun: a client would read RST_STREAM as INTERNAL, whatever the reason. False if there is no
   * memory. `code` and `reset`: see `grpcStatus`.
   */
  endGrpcCall(x: ExchangeSlot, status: number, why: number, code: number, reset: boolean): boolean {
    const { spare: list } = this.core;
    list.clear();
    const grpcCode = grpcStatus(status, why, code, reset);
    this.addGrpc(grpcCode, why);
    list.finish();
    if (!this.machine.sender.trailers(this.exchanges.clientStream(x), list)) return false;
    this.recordGrpcStatus(x, grpcCode);
    this.count(x, why);
    return true;
  }

  /** Adds the status of a call to `core.spare`. */
  private addGrpc(grpcCode: number, why: number): void {
    const { spare } = this.core;
    spare.addConstant(this.grpcCodes[grpcCode]);
    spare.addConstant(this.messages[why]);
    spare.addConstant(this.reasons[why]);
  }

  /** Records the status that the client of a call gets. */
  private recordGrpcStatus(x: ExchangeSlot, grpcCode: number): void {
    const { exchanges, context } = this;
    exchanges.grpcStatus[x] = grpcCode;
    // A request that could not be parsed was not counted as a call either.
    if (exchanges.inFlight[x] === 1)
      context.values[context.services.base[exchanges.service[x]] + S.GRPC_STATUS + grpcCode]++;
  }

  private stream(x: ExchangeSlot, status: number, why: number, code: number, reset: boolean): number {
    const { exchanges, core } = this;
    const { spare: list } = core;
    const { sender } = this.machine;
    const slot = exchanges.clientStream(x);
    const grpc = exchanges.grpc[x] === 1;
    const sent = grpc ? 200 : status;
    list.clear();
    list.addConstant(this.status.get(sent) ?? 0);
    if (grpc) {
      const grpcCode = grpcStatus(status, why, code, reset);
      list.addConstant(this.grpcType);
      this.addGrpc(grpcCode, why);
      this.recordGrpcStatus(x, grpcCode);
    } else if (status === OK) list.addConstant(this.empty);
    else {
      list.addConstant(this.plain);
      list.addConstant(this.reasons[why]);
    }
    const bare = grpc || status === OK || exchanges.method[x] === METHOD.HEAD;
    this.context.added.dateInto(list, exchanges.client(x, core));
    list.finish();
    sender.headers(slot, list, bare);
    // With a closed window the text waits; `flushed` continues.
    if (!bare) sender.text(slot, this.textAt[why], this.textLength[why]);
    return sent;
  }
}
