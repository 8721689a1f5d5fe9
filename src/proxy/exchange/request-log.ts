// The lines of the access log that tell of exchanges.
import type { Core } from '../../http2/shared-state.js';
import type { Context } from '../context.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot } from '../slots.js';
import type { RequestLog } from './accounts.js';
import type { Exchanges } from './exchange.js';

const NOTHING = '"method":"","target":"","host":""';

export class RequestLines implements RequestLog {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
  ) {}

  target(x: ExchangeSlot): void {
    const { exchanges } = this;
    if (exchanges.isStream(x)) {
      const { facts } = this.core.list;
      const host = facts.authorityAt < 0 ? facts.hostAt : facts.authorityAt;
      const hostLength = facts.authorityAt < 0 ? facts.hostLength : facts.authorityLength;
      exchanges.target[x] = this.what(
        this.text(facts.methodAt, facts.methodAt + facts.methodLength),
        this.text(facts.pathAt, facts.pathAt + facts.pathLength),
        this.text(host, host + hostLength),
      );
      return;
    }
    const { head } = this.http1;
    exchanges.target[x] = this.what(
      this.text(head.methodStart, head.methodEnd),
      this.text(head.targetStart, head.targetEnd),
      this.text(head.authorityStart, head.authorityEnd),
    );
  }

  request(x: ExchangeSlot, endpoint: number, status: number, whole: boolean): void {
    const { exchanges, core, context } = this;
    const what = exchanges.target[x];
    exchanges.target[x] = undefined;
    // A request whose head could not be read has no beginning.
    const elapsed = what === undefined ? 0 : context.reactor.now - exchanges.started[x];
    let more = whole ? '' : ',"unanswered":true';
    let socket: number = exchanges.clientSocket(x);
    if (exchanges.isStream(x)) {
      const stream = exchanges.clientStream(x);
      socket = core.streams.connection[stream]?.socket ?? -1;
      const grpc = whole && exchanges.grpc[x] === 1 ? `,"grpc_status":${exchanges.grpcStatus[x]}` : '';
      more = `,"stream":${core.streams.id[stream]}${grpc}${more}`;
    }
    context.accessLog.request(socket, what ?? NOTHING, status, endpoint, elapsed, more);
  }

  private what(method: string, target: string, host: string): string {
    return `"method":${JSON.stringify(method)},"target":${JSON.stringify(target)},"host":${JSON.stringify(host)}`;
  }

  private text(start: number, end: number): string {
    const { bytes } = this.context;
    return start < 0 ? '' : Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
  }
}
