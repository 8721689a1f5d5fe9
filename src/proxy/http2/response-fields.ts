// Responses to HTTP/2 clients: the list of fields, translated if the endpoint spoke HTTP/1, and its head on the stream.
import type { Http2Machine } from '../../http2/machine.js';
import type { Core } from '../../http2/shared-state.js';
import { listWithoutLength } from '../../translate/fields.js';
import { ResponseBridge } from '../../translate/response.js';
import { type Exchanges, UPGRADE } from '../exchange/exchange.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot } from '../slots.js';

const NO_KEY = new Uint8Array(0);

export class ResponseFields {
  private readonly bridge: ResponseBridge;

  constructor(
    private readonly core: Core,
    private readonly machine: Http2Machine,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
  ) {
    this.bridge = new ResponseBridge(core.memory);
  }

  /** Lists the head parsed last. Returns 0 or -ERROR. */
  fromHead(x: ExchangeSlot): number {
    const { exchanges } = this;
    const webSocket = exchanges.upgrade[x] === UPGRADE.WEBSOCKET;
    const key = webSocket ? (exchanges.keys.get(x) ?? NO_KEY) : NO_KEY;
    return this.bridge.list(this.http1.head, this.core.list, webSocket, key, 0, exchanges.endpointSocket(x));
  }

  /** Sends the interim head in `core.list`. There may be any number of these, so a client that does not read gets no more. */
  interim(x: ExchangeSlot): void {
    const { core } = this;
    const slot = this.exchanges.clientStream(x);
    const client = core.streams.connection[slot];
    if (client === null || client.congested || core.list.size > client.peerHeaderBytes) return;
    client.congested = core.sink.congested(client.socket, core.output.unsent(client));
    if (!client.congested) this.machine.sender.headers(slot, core.list, false);
  }

  /** Sends the final head in `core.list`, which may open a tunnel. False if that ended the client's connection. */
  final(x: ExchangeSlot, end: boolean, tunnel: boolean): boolean {
    const { core } = this;
    const slot = this.exchanges.clientStream(x);
    if (!tunnel || core.list.facts.contentLength < 0) return this.machine.sender.headers(slot, core.list, end);
    // RFC 9110 section 9.3.6: a length in a 2xx to CONNECT has no meaning.
    listWithoutLength(core.list, core.spare);
    return this.machine.sender.headers(slot, core.spare, end);
  }
}
