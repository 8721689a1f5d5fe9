// The PROXY header at the start of each connection on a listener with `proxyProtocol`. It is read before anything else, so that the rest
// sees an ordinary client. A client outside the trusted networks, or without a valid header in time, is refused: if the header were
// optional, an address could be forged by leaving it out.

import { inNetworks } from '../../config/networks.js';
import { objectArray } from '../../http/object-array.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { LIMITS, MAX_LISTENERS, W } from '../../metrics/layout.js';
import { parseName } from '../../proxy-protocol/addresses.js';
import { HEADER, type Header, readHeader } from '../../proxy-protocol/read.js';
import { CLOSE, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { REFUSED } from '../refusals.js';
import type { SocketSlot } from '../slots.js';
import type { ListenerSnapshot, Snapshot } from '../snapshot.js';

const LIMIT_TIME = LIMITS.indexOf('proxy-header-time');
const LIMIT_BYTES = LIMITS.indexOf('proxy-header-bytes');
/** While draining, a client that has sent nothing for this long since it connected is closed, ms. */
const DRAIN_SILENT_MS = 1000;
/** Time for the header of a client that connected before a reload turned it off, ms. */
const LATE_MS = 1000;

const REFUSAL_OF: Readonly<Record<number, number>> = {
  [HEADER.NONE]: REFUSED.PROXY_MISSING,
  [HEADER.MALFORMED]: REFUSED.PROXY_MALFORMED,
  [HEADER.CHECKSUM]: REFUSED.PROXY_CHECKSUM,
  [HEADER.TOO_LONG]: REFUSED.PROXY_TOO_LONG,
};

export class ProxyHeaders {
  /** Listeners whose connections begin with a header. */
  private readonly listeners = objectArray<ListenerSnapshot | undefined>();
  private readonly header: Header = { source: '', destination: '' };

  /** `opened` takes a client whose header has been read. */
  constructor(
    private readonly context: Context,
    private readonly opened: (client: SocketSlot) => void,
  ) {}

  configure({ listeners }: Snapshot): void {
    for (let slot = 0; slot < MAX_LISTENERS; slot++) this.listeners[slot] = undefined;
    for (const listener of listeners) if (listener.proxyProtocol !== null) this.listeners[listener.slot] = listener;
  }

  /** A new client connection. */
  open(client: SocketSlot): void {
    const { connections, sockets, wheel, values } = this.context;
    const config = this.listeners[connections.listener[client]]?.proxyProtocol;
    if (config === undefined || config === null) {
      this.opened(client);
      return;
    }
    if (config.from !== null) {
      if (!inNetworks(config.from, parseName(connections.peerName(client))?.host ?? '')) {
        values[W.PROXY_STRANGERS]++;
        this.refuse(client, CLOSE.REFUSED, REFUSED.PROXY_STRANGER);
        return;
      }
    }
    sockets.kind[client] = SOCKET_KIND.PROXY_HEADER;
    // One receive at a time: others ask for what follows the header.
    sockets.receiveOnce(client);
    wheel.schedule(client, connections.opened[client] + config.timeoutMs);
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    const { inbox, bytes, connections, sockets } = this.context;
    inbox.push(client, bid, at, at + length);
    while (inbox.merge(client) === 1);
    const first = inbox.first(client);
    const limit = this.listeners[connections.listener[client]]?.proxyProtocol?.maxBytes ?? BUFFER_CAPACITY;
    const read = readHeader(bytes, inbox.startOf(first), inbox.endOf(first), limit, this.header);
    if (read === HEADER.MORE) sockets.receiveOnce(client);
    else if (read > 0) this.accept(client, read);
    else this.reject(client, read);
  }

  eof(client: SocketSlot): void {
    // Connecting without sending anything is a port check, not an event.
    if (this.context.inbox.empty(client)) this.context.connections.close(client, CLOSE.OK);
    else this.reject(client, HEADER.MALFORMED);
  }

  timer(client: SocketSlot): void {
    const { reactor, connections, inbox, wheel } = this.context;
    const due = this.deadline(client);
    const opened = connections.opened[client];
    const leaving = inbox.empty(client) && this.context.isDraining(client);
    if (reactor.now >= due) {
      this.context.limited(LIMIT_TIME);
      this.context.values[W.PROXY_REFUSED]++;
      this.refuse(client, CLOSE.TIMEOUT, REFUSED.PROXY_LATE);
    } else if (leaving && reactor.now >= opened + DRAIN_SILENT_MS) connections.close(client, CLOSE.DRAIN);
    else wheel.schedule(client, leaving ? Math.min(due, opened + DRAIN_SILENT_MS) : due);
  }

  /** A drain has begun: do not wait for a silent client. */
  reconsider(client: SocketSlot): void {
    this.context.wheel.pull(client, this.context.reactor.clock() + 1);
  }

  private deadline(client: SocketSlot): number {
    const { connections } = this.context;
    const config = this.listeners[connections.listener[client]]?.proxyProtocol;
    // A reload may have turned it off; clients that connected before still have to send a header.
    return connections.opened[client] + (config?.timeoutMs ?? LATE_MS);
  }

  private accept(client: SocketSlot, length: number): void {
    const { inbox, slab, sockets, wheel, connections, values } = this.context;
    const { source, destination } = this.header;
    values[W.PROXY_HEADERS]++;
    const bid = inbox.shift(client);
    const start = inbox.startOf(bid) + length;
    if (start < inbox.endOf(bid)) inbox.unshift(client, bid, start, inbox.endOf(bid));
    else slab.release(bid);
    if (source !== '') connections.setProxied(client, source, destination);
    wheel.cancel(client);
    // Nothing is received until it is asked for.
    sockets.pause(client);
    sockets.kind[client] = SOCKET_KIND.DETECT;
    this.opened(client);
  }

  private reject(client: SocketSlot, problem: number): void {
    if (problem === HEADER.TOO_LONG) this.context.limited(LIMIT_BYTES);
    this.context.values[W.PROXY_REFUSED]++;
    this.refuse(client, CLOSE.PROTOCOL, REFUSAL_OF[problem]);
  }

  private refuse(client: SocketSlot, reason: number, why: number): void {
    this.context.refusals.note(why, client, -1, -1);
    this.context.connections.abort(client, reason);
  }
}
