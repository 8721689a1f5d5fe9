// Responses in the proxy's own name on HTTP/2 streams, each with its reason. A gRPC client gets a gRPC status: it would read a bare
// 503 as UNKNOWN or worse.

import { ascii } from '../http/octets.js';
import { METHOD } from '../http1/head.js';
import { ERROR } from '../http2/frame.js';
import { STREAM } from '../http2/streams.js';
import { RESPONSE_REASONS, S, W } from '../metrics/layout.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';

const NONE = -1;
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

/** What a gRPC client is told where a reason is not just UNAVAILABLE. `code` is the endpoint's, where it has reset the stream. */
function grpcStatus(status: number, why: number, code: number): number {
  if (why === WHY.UPSTREAM_RESET) {
    // gRPC over HTTP/2, section "Errors": what the client would make of that code if it saw it.
    if (code === ERROR.CANCEL) return GRPC.CANCELLED;
    if (code === ERROR.ENHANCE_YOUR_CALM) return GRPC.RESOURCE_EXHAUSTED;
    if (code === ERROR.INADEQUATE_SECURITY) return GRPC.PERMISSION_DENIED;
  }
  if (status === 504) return GRPC.DEADLINE_EXCEEDED;
  if (status === 421) return GRPC.UNIMPLEMENTED;
  if (status === 431 || why === WHY.MEMORY || why === WHY.POOL_EXHAUSTED) return GRPC.RESOURCE_EXHAUSTED;
  if (why === WHY.UPSTREAM_PROTOCOL || status < 500) return GRPC.INTERNAL;
  return GRPC.UNAVAILABLE;
}

export class Http2Answers {
  /** Text of the reasons, each with a newline, in the slab. */
  private readonly textAt: number[];
  private readonly textLength: number[];
  private readonly reasons: number[];
  private readonly plain: number;
  private readonly grpcType: number;
  private readonly status = new Map<number, number>();
  private readonly grpcCodes: number[];
  private readonly messages: number[];

  constructor(private readonly http2: Http2) {
    const { memory } = http2.core;
    const { slab } = http2.context;
    const texts = RESPONSE_REASONS.map((reason) => ascii(`${reason}\n`));
    this.textLength = texts.map((text) => text.length);
    this.textAt = texts.map((text) => {
      const at = slab.fixed(text.length);
      slab.bytes.set(text, at);
      return at;
    });
    this.reasons = RESPONSE_REASONS.map((reason) => memory.constant('sluice-error', reason));
    this.plain = memory.constant('content-type', 'text/plain');
    this.grpcType = memory.constant('content-type', 'application/grpc');
    for (const status of [200, 400, 408, 417, 421, 431, 501, 502, 503, 504])
      this.status.set(status, memory.constant(':status', String(status)));
    this.grpcCodes = Array.from({ length: 17 }, (_, code) => memory.constant('grpc-status', String(code)));
    this.messages = RESPONSE_REASONS.map((reason) => memory.constant('grpc-message', `sluice: ${reason}`));
  }

  /** Answers the request on `slot` in the proxy's own name, and ends it. Its other side must have been parted. `code`: see `grpcStatus`. */
  respond(slot: number, status: number, why: number, code: number = ERROR.NO_ERROR): void {
    const { http2 } = this;
    const { core, exchanges, context, machine } = http2;
    const { streams, spare: list } = core;
    const service = exchanges.service[slot];
    if (exchanges.client[slot] >= 0) {
      http2.fromHttp1.failed(slot, status, why);
      return;
    }
    exchanges.answered[slot] = 1;
    const grpc = exchanges.grpc[slot] === 1;
    list.clear();
    list.addConstant(this.status.get(grpc ? 200 : status) ?? 0);
    context.values[W.RESPONSE + why]++;
    if (service >= 0) context.values[context.services.base[service] + S.RESPONSE + why]++;
    if (grpc) {
      const grpcCode = grpcStatus(status, why, code);
      list.addConstant(this.grpcType);
      list.addConstant(this.grpcCodes[grpcCode]);
      list.addConstant(this.messages[why]);
      if (service >= 0) context.values[context.services.base[service] + S.GRPC_STATUS + grpcCode]++;
    } else list.addConstant(this.plain);
    list.addConstant(this.reasons[why]);
    const bare = grpc || exchanges.method[slot] === METHOD.HEAD;
    list.finish();
    machine.sender.headers(slot, list, bare);
    if (context.access) context.accessLog.stream(slot, NONE, grpc ? 200 : status, streams, exchanges);
    http2.accounts.ended(slot, false);
    if (!bare) {
      // Where the window is closed the text waits; `flushed` goes on.
      const moved = machine.sender.text(slot, this.textAt[why], this.textLength[why]);
      if (moved >= 0 && (streams.state[slot] & STREAM.LOCAL_END) === 0) return;
    }
    http2.lifecycle.finish(slot);
  }
}
