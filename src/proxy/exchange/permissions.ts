// Authorization of requests by their listener's rules. It also remembers what tunnels asked for, to check them again when the rules change.
import { column } from '../../http/columns.js';
import { CONNECT_PROTOCOL } from '../../http/facts.js';
import { METHOD } from '../../http/methods.js';
import { FORM } from '../../http1/head.js';
import type { Core } from '../../http2/shared-state.js';
import { type Asked, DECISION, decisionOf } from '../../policy/rules.js';
import type { Context } from '../context.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot } from '../slots.js';
import type { Exchanges } from './exchange.js';

const NONE = -1;

export class Permissions {
  /** Code of the deciding rule, for the access log; -1: none. */
  readonly code: Int32Array;
  private readonly asked: Asked = { method: 0, methodStart: 0, methodEnd: 0, pathStart: NONE, pathEnd: NONE };

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
  ) {
    this.code = column(Int32Array, exchanges.capacity);
  }

  /** Whether the request just read may be forwarded; recorded. */
  permits(x: ExchangeSlot): boolean {
    const { context, exchanges, asked } = this;
    const { authorization } = context;
    const client = exchanges.client(x, this.core);
    authorization.forget(x);
    const tunnel = exchanges.asksForTunnel(x);
    if (tunnel || authorization.dependsOnRequest(client)) this.read(x);
    if (tunnel) this.keep(x);
    const code = authorization.codeOf(client, context.bytes, asked);
    this.code[x] = code;
    return code < 0 || authorization.judgeRequest(client, exchanges.service[x], code);
  }

  /** The code for a tunnel under the current rules; -1 without rules. Not recorded. */
  codeOfTunnel(x: ExchangeSlot): number {
    const { authorization } = this.context;
    const client = this.exchanges.client(x, this.core);
    const wanted = authorization.tunnelRequests.get(x);
    if (wanted !== undefined) return authorization.codeOf(client, wanted.bytes, wanted.asked);
    // For a tunnel opened without rules nothing more is known.
    return authorization.codeOfBytes(client);
  }

  /** Whether the rules have changed since the tunnel was opened, and now forbid it. */
  lost(x: ExchangeSlot): boolean {
    const { authorization } = this.context;
    if ((authorization.tunnelRequests.get(x)?.epoch ?? 0) === authorization.epoch) return false;
    return decisionOf(Math.max(0, this.codeOfTunnel(x))) === DECISION.DENY;
  }

  /** Locates method and path where they were read. */
  private read(x: ExchangeSlot): void {
    const { asked, exchanges } = this;
    asked.method = exchanges.methodInHttp1(x);
    if (exchanges.isStream(x)) {
      const { facts } = this.core.list;
      asked.methodStart = facts.methodAt;
      asked.methodEnd = facts.methodAt + facts.methodLength;
      asked.pathStart =
        facts.method === METHOD.CONNECT && facts.protocol === CONNECT_PROTOCOL.NONE ? NONE : facts.pathAt;
      asked.pathEnd = facts.pathAt + facts.pathLength;
      return;
    }
    const { head } = this.http1;
    asked.methodStart = head.methodStart;
    asked.methodEnd = head.methodEnd;
    const absolute = head.form === FORM.ABSOLUTE;
    asked.pathStart = absolute ? head.pathStart : head.targetStart;
    asked.pathEnd = absolute ? head.pathEnd : head.targetEnd;
    // CONNECT; and what the endpoint will read as `*` (RFC 9112 section 3.2.4).
    const whole = absolute && head.method === METHOD.OPTIONS && head.pathStart === head.pathEnd;
    if (head.form === FORM.AUTHORITY || whole) asked.pathStart = NONE;
  }

  private keep(x: ExchangeSlot): void {
    const { asked } = this;
    const method = asked.methodEnd - asked.methodStart;
    const path = asked.pathStart < 0 ? 0 : asked.pathEnd - asked.pathStart;
    const { bytes, authorization } = this.context;
    const copy = column(Uint8Array, method + path);
    copy.set(bytes.subarray(asked.methodStart, asked.methodEnd));
    if (path > 0) copy.set(bytes.subarray(asked.pathStart, asked.pathEnd), method);
    const replay: Asked = {
      method: asked.method,
      methodStart: 0,
      methodEnd: method,
      pathStart: asked.pathStart < 0 ? NONE : method,
      pathEnd: method + path,
    };
    authorization.tunnelRequests.set(x, { epoch: authorization.epoch, bytes: copy, asked: replay });
  }
}
