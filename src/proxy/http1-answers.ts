// Responses in the proxy's own name, each with its reason, and the end of the connections that got one.
import { ERRORS } from '../http1/errors.js';
import { METHOD } from '../http1/head.js';
import { writeOwnResponse } from '../http1/write.js';
import { SOCKET } from '../io/sockets.js';
import { RESPONSE_REASONS, S, W } from '../metrics/layout.js';
import { CLOSE, KIND } from './connect/connections.js';
import type { Context } from './context.js';
import { type Exchanges, REQUEST } from './exchange.js';
import type { Http1 } from './http1.js';

const NONE = -1;
/** How long and how much is read from a client that has been answered before it finished its request. */
const LINGER_MS = 2000;
const LINGER_BYTES = 1024 * 1024;
/** Room for a response of the proxy's own. */
const OWN_RESPONSE_BYTES = 256;

/** Indices into RESPONSE_REASONS. */
export const WHY = {
  BAD_REQUEST: RESPONSE_REASONS.indexOf('bad-request'),
  HEADER_TIMEOUT: RESPONSE_REASONS.indexOf('header-timeout'),
  BODY_TIMEOUT: RESPONSE_REASONS.indexOf('body-timeout'),
  NO_ENDPOINT: RESPONSE_REASONS.indexOf('no-endpoint'),
  CONNECT_FAILED: RESPONSE_REASONS.indexOf('connect-failed'),
  CONNECT_TIMEOUT: RESPONSE_REASONS.indexOf('connect-timeout'),
  UPSTREAM_RESET: RESPONSE_REASONS.indexOf('upstream-reset'),
  RESPONSE_TIMEOUT: RESPONSE_REASONS.indexOf('response-timeout'),
  POOL_EXHAUSTED: RESPONSE_REASONS.indexOf('pool-exhausted'),
  MEMORY: RESPONSE_REASONS.indexOf('memory'),
  MISDIRECTED: RESPONSE_REASONS.indexOf('misdirected'),
  HEADER_TOO_LARGE: RESPONSE_REASONS.indexOf('header-too-large'),
  UPSTREAM_PROTOCOL: RESPONSE_REASONS.indexOf('upstream-protocol'),
  NOT_IMPLEMENTED: RESPONSE_REASONS.indexOf('not-implemented'),
  STREAM_REFUSED: RESPONSE_REASONS.indexOf('stream-refused'),
} as const;

export class OwnAnswers {
  private readonly lingered: Int32Array;
  /** The answer where the slab is out, written beforehand: of all answers this one can't wait for a buffer. */
  private readonly memoryAt: number;
  private readonly memoryHead: number;
  private readonly memoryLength: number;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1,
  ) {
    this.lingered = new Int32Array(context.sockets.capacity);
    this.memoryAt = context.slab.fixed(OWN_RESPONSE_BYTES);
    const limit = this.memoryAt + OWN_RESPONSE_BYTES;
    this.memoryHead =
      writeOwnResponse(context.bytes, this.memoryAt, limit, 503, WHY.MEMORY, null, true, true) - this.memoryAt;
    this.memoryLength =
      writeOwnResponse(context.bytes, this.memoryAt, limit, 503, WHY.MEMORY, null, true, false) - this.memoryAt;
  }

  /** Answers the client in the proxy's own name, and ends its connection. Closes without a word if an answer has begun. */
  respond(client: number, status: number, why: number, detail: Uint8Array | null, reason: number): void {
    const { slab, sockets, values, connections } = this.context;
    const exchanges = this.exchanges;
    const service = exchanges.service[client];
    this.http1.dropRetained(client);
    exchanges.keep[client] = 0;
    if (exchanges.answered[client] === 1) {
      this.http1.accounts.ended(client, true);
      connections.abort(client, reason);
      return;
    }
    exchanges.answered[client] = 1;
    const headOnly = exchanges.method[client] === METHOD.HEAD && exchanges.request[client] !== REQUEST.HEAD;
    const buffer = slab.take();
    const own = buffer < 0 ? WHY.MEMORY : why;
    if (buffer < 0) sockets.queue(client, this.memoryAt, headOnly ? this.memoryHead : this.memoryLength, NONE);
    else {
      const at = slab.dataStart(buffer);
      const end = writeOwnResponse(this.context.bytes, at, slab.dataEnd(buffer), status, why, detail, true, headOnly);
      sockets.queue(client, at, end - at, buffer);
    }
    values[W.RESPONSE + own]++;
    if (service >= 0) values[this.context.services.base[service] + S.RESPONSE + own]++;
    if (this.context.access) this.http1.accessLog.request(client, NONE, buffer < 0 ? 503 : status, exchanges);
    this.http1.accounts.ended(client, false);
    this.linger(client, reason);
  }

  /** Answers with what an ERROR of the codec says. `upstream`: the endpoint's fault. */
  reject(client: number, error: number, reason: number): void {
    const info = ERRORS[error];
    this.respond(client, info.status, info.reasonIndex, info.detailBytes, reason);
  }

  /** Reads on from a client that was answered early, so that a reset does not take the answer away (RFC 9112 section 9.6). */
  linger(client: number, reason: number = CLOSE.OK): void {
    const { sockets, inbox, wheel, reactor, connections } = this.context;
    inbox.clear(client);
    if ((sockets.flags[client] & SOCKET.EOF) !== 0) {
      connections.closeWhenSent(client, reason);
      return;
    }
    sockets.kind[client] = KIND.LINGER;
    this.lingered[client] = 0;
    sockets.shutdown(client);
    sockets.resume(client);
    wheel.schedule(client, reactor.now + LINGER_MS);
  }

  lingerData(client: number, bid: number, length: number): void {
    const { slab, connections } = this.context;
    slab.release(bid);
    this.lingered[client] += length;
    if (this.lingered[client] > LINGER_BYTES) connections.close(client, CLOSE.OK);
  }
}
