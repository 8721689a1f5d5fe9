// The records of the access log that tell of connections: those that were relayed, and those that ended badly before they had a request.
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { quoted } from '../../log/json-text.js';
import { CLOSE_REASONS } from '../../metrics/layout.js';
import { type Context, MOST_NAME } from '../context.js';
import type { SocketSlot } from '../slots.js';
import { CLOSE, type ClientLog, SOCKET_KIND } from './connections.js';

/** CLOSE of clients for whom no endpoint was found. */
const UNSERVED: readonly number[] = [CLOSE.NO_ENDPOINT, CLOSE.LIMIT, CLOSE.ERROR, CLOSE.UNAUTHORIZED];

/** Who knows whether a connection is a tunnel that a request has opened: that is one record, the request's. */
export interface TunnelRecords {
  /** True if there was one, which is written now. */
  tunnelEnded(client: SocketSlot, reason: number): boolean;
}

export class ConnectionLog implements ClientLog {
  constructor(
    private readonly context: Context,
    private readonly opaque: { readonly service: Int32Array; readonly why: Uint8Array },
    private readonly requests: TunnelRecords,
  ) {}

  ended(client: SocketSlot, reason: number): void {
    const well = reason === CLOSE.OK || reason === CLOSE.DRAIN;
    const kind = this.context.sockets.kind[client];
    if (kind === SOCKET_KIND.OPAQUE) {
      if (this.requests.tunnelEnded(client, reason)) return;
      if (!well || this.context.accessAll) this.write(client, reason, 'opaque', this.opaque.service[client]);
      return;
    }
    // Whatever else may be told of a connection, its requests tell.
    if (!well && (kind === SOCKET_KIND.DETECT || kind === SOCKET_KIND.ROUTE)) this.write(client, reason, 'unknown', -1);
  }

  violated(client: SocketSlot, reason: number): void {
    this.write(client, reason, 'HTTP/2', -1);
  }

  private write(client: SocketSlot, reason: number, protocol: string, service: number): void {
    const { context } = this;
    const { connections, endpoints, services } = context;
    const endpoint = connections.relayedTo[client];
    const address = endpoint < 0 ? '' : endpoints.address.get(endpoint);
    const known = protocol === 'opaque' ? (RESPONSE_REASONS[this.opaque.why[client]] ?? '') : '';
    const why = known !== '' && UNSERVED.includes(reason) ? `,"reason":"${known}"` : '';
    const name = service < 0 ? '' : services.name.get(service);
    const rule = context.authorization.active && protocol === 'opaque' ? context.authorization.ruleOfBytes(client) : '';
    const decided = rule === '' ? '' : `,"rule":${quoted(rule, MOST_NAME)}`;
    context.accessLog.write(
      `"message":"connection",${context.who(client)},"service":${quoted(name, MOST_NAME)},"clientProtocol":"${protocol}",` +
        `"closed":"${CLOSE_REASONS[reason]}"${why}${decided},"endpoint":"${address}","received":${connections.read[client]},` +
        `"sent":${connections.written[client]},"durationMs":${(context.reactor.now - connections.opened[client]).toFixed(3)}`,
    );
  }
}
