// Access log and tap records of connections: those that were relayed, and those that failed before their first request.
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { quoted } from '../../log/json-text.js';
import { CLOSE_REASONS } from '../../metrics/layout.js';
import { type Context, MAX_NAME } from '../context.js';
import type { SocketSlot } from '../slots.js';
import { CLOSE, type ClientLog, SOCKET_KIND } from './connections.js';

/** CLOSE of clients for whom no endpoint was found. */
const UNSERVED: readonly number[] = [CLOSE.NO_ENDPOINT, CLOSE.LIMIT, CLOSE.ERROR, CLOSE.UNAUTHORIZED];

/** Knows whether a connection is a tunnel opened by a request: then the only record is the request's. */
export interface TunnelRecords {
  /** True if it was one; its record is written now. */
  tunnelEnded(client: SocketSlot, reason: number): boolean;
}

/** The taps, as in `Taps`. */
export interface ConnectionTaps {
  readonly active: boolean;
  connection(client: number, service: number): number;
  show(mask: number, members: string): void;
}

export class ConnectionLog implements ClientLog {
  constructor(
    private readonly context: Context,
    private readonly opaque: { readonly service: Int32Array; readonly failure: Uint8Array },
    private readonly requests: TunnelRecords,
    private readonly taps: ConnectionTaps,
  ) {}

  ended(client: SocketSlot, reason: number): void {
    const well = reason === CLOSE.OK || reason === CLOSE.DRAIN;
    const kind = this.context.sockets.kind[client];
    if (kind === SOCKET_KIND.OPAQUE) {
      if (this.requests.tunnelEnded(client, reason)) return;
      this.write(client, reason, 'opaque', this.opaque.service[client], !well || this.context.accessAll);
      return;
    }
    // All else about a connection is in the records of its requests.
    if (!well && (kind === SOCKET_KIND.DETECT || kind === SOCKET_KIND.ROUTE))
      this.write(client, reason, 'unknown', -1, true);
  }

  violated(client: SocketSlot, reason: number): void {
    this.write(client, reason, 'HTTP/2', -1, true);
  }

  /** `remarkable`: the access log includes it even if it logs only failures. */
  private write(client: SocketSlot, reason: number, protocol: string, service: number, remarkable: boolean): void {
    const { context, taps } = this;
    const tapped = taps.active ? taps.connection(client, service) : 0;
    const logged = remarkable && context.accessLogged;
    if (tapped === 0 && !logged) return;
    const record = this.record(client, reason, protocol, service);
    if (logged) context.accessLog.write(record);
    if (tapped !== 0) taps.show(tapped, record);
  }

  private record(client: SocketSlot, reason: number, protocol: string, service: number): string {
    const { context } = this;
    const { connections, endpoints, services } = context;
    const endpoint = connections.relayedTo[client];
    const address = endpoint < 0 ? '' : endpoints.address.get(endpoint);
    const known = protocol === 'opaque' ? (RESPONSE_REASONS[this.opaque.failure[client]] ?? '') : '';
    const why = known !== '' && UNSERVED.includes(reason) ? `,"reason":"${known}"` : '';
    const name = service < 0 ? '' : services.name.get(service);
    const rule = context.authorization.active && protocol === 'opaque' ? context.authorization.ruleOfBytes(client) : '';
    const decided = rule === '' ? '' : `,"rule":${quoted(rule, MAX_NAME)}`;
    return (
      `"message":"connection",${context.describeClient(client)},"service":${quoted(name, MAX_NAME)},"clientProtocol":"${protocol}",` +
      `"closed":"${CLOSE_REASONS[reason]}"${why}${decided},"endpoint":"${address}","received":${connections.read[client]},` +
      `"sent":${connections.written[client]},"durationMs":${(context.reactor.now - connections.opened[client]).toFixed(3)}`
    );
  }
}
