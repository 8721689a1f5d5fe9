// Requests to HTTP/2 endpoints: the list of fields, from an HTTP/1 client's head or from the kept copy, and the kept body.

import { NAME } from '../../http/field-names.js';
import { ORIGIN } from '../../http/orig-proto.js';
import { KEY_LENGTH } from '../../http/web-socket.js';
import { MESSAGE_ERROR } from '../../http1/errors.js';
import { parseRequest } from '../../http1/head-parser.js';
import type { Core } from '../../http2/shared-state.js';
import { listWithout } from '../../translate/fields.js';
import { RequestBridge } from '../../translate/request.js';
import type { Context } from '../context.js';
import { type Exchanges, UPGRADE } from '../exchange/exchange.js';
import { FORM, type ReplayBuffers } from '../exchange/replay-buffers.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { ExchangeSlot } from '../slots.js';
import type { Http2Streams } from './streams.js';

export class RequestFields {
  private readonly bridge: RequestBridge;
  /** Body kept in one piece with an HTTP/1 head. */
  private restAt = 0;
  private restLength = 0;
  /** After `send`: false if there are kept trailers that are larger than the endpoint accepts. */
  trailersFit = true;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly http1: Http1Sockets,
    private readonly streams: Http2Streams,
  ) {
    this.bridge = new RequestBridge(core.memory);
  }

  /** Lists the head parsed last, and keeps it. Returns 0 or -MESSAGE_ERROR. */
  fromHead(x: ExchangeSlot): number {
    const { exchanges, replay } = this;
    const error = this.list(x);
    if (error !== 0) return error;
    replay.release(x);
    replay.keepFields(x, this.core.list, exchanges.bodyless[x] === 1 && !exchanges.tunnelsInHttp2(x));
    return 0;
  }

  /** Lists the kept head. Returns 0 or -MESSAGE_ERROR. */
  fromKept(x: ExchangeSlot): number {
    const { replay } = this;
    this.restLength = 0;
    if (replay.form[x] === FORM.FIELDS) {
      replay.restore(x, this.core.list);
      this.mark(x);
      return 0;
    }
    const from = replay.locate(x);
    const end = from + replay.length[x];
    const at = parseRequest(this.context.bytes, from, end, this.http1.head, this.context.limits.http1);
    if (at < 0) return -MESSAGE_ERROR.MALFORMED;
    this.restAt = at;
    this.restLength = end - at;
    return this.list(x);
  }

  /** A request that arrived over HTTP/2 is forwarded unchanged, except fields addressed to this proxy. */
  fromList(): void {
    if (this.core.list.facts.origin !== ORIGIN.NONE) this.unmark();
  }

  /**
   * Sends the head in `core.list` on the exchange's stream; for a kept request also the body and the trailers. False if the slab is
   * exhausted.
   */
  send(x: ExchangeSlot, fromKept: boolean): boolean {
    const { exchanges, replay, core, streams } = this;
    this.trailersFit = true;
    if (!fromKept) {
      streams.sendHead(x, exchanges.bodyless[x] === 1 && !exchanges.tunnelsInHttp2(x));
      return true;
    }
    const trailers = replay.hasTrailers(x);
    if (trailers) {
      replay.restoreTrailers(x, core.spare);
      this.trailersFit = streams.machine.sender.fits(exchanges.endpointStream(x), core.spare);
      if (!this.trailersFit) return false;
    }
    const whole = replay.whole[x] === 1 && !exchanges.tunnelsInHttp2(x);
    const body = this.restLength > 0 || !replay.body.empty(x);
    streams.sendHead(x, whole && !body && !trailers);
    if (this.restLength > 0 && streams.sendData(x, this.restAt, this.restLength, whole && !trailers) < 0) return false;
    this.restLength = 0;
    if (!streams.sendKept(x, replay.body, whole && !trailers)) return false;
    if (trailers) {
      replay.restoreTrailers(x, core.spare);
      streams.machine.sender.trailers(exchanges.endpointStream(x), core.spare);
      replay.dropTrailers(x);
      replay.release(x);
    } else if (!replay.hasRoom(x)) replay.release(x);
    return true;
  }

  /** Marks a kept list as carried or not, depending on its new receiver. */
  private mark(x: ExchangeSlot): void {
    const { list } = this.core;
    const carried = this.exchanges.origProto[x] === 1;
    if (carried === (list.facts.origin !== ORIGIN.NONE)) return;
    if (!carried) {
      this.unmark();
      return;
    }
    list.expand();
    this.bridge.carry(list, 1, false);
    list.finish();
  }

  private unmark(): void {
    const { core } = this;
    listWithout(core.list, NAME.ORIG_PROTO, core.spare);
    listWithout(core.spare, NAME.ORIG_PROTO, core.list);
  }

  private list(x: ExchangeSlot): number {
    const { exchanges, http1 } = this;
    const { services, bytes } = this.context;
    const service = exchanges.service[x];
    const webSocket = exchanges.upgrade[x] === UPGRADE.WEBSOCKET;
    const { bridge } = this;
    const error = bridge.list(
      http1.head,
      this.core.list,
      webSocket,
      services.hostAt[service],
      services.hostLength[service],
      exchanges.origProto[x] === 1,
      x,
    );
    if (error !== 0) return error;
    if (webSocket) exchanges.keys.set(x, bytes.slice(bridge.keyAt, bridge.keyAt + KEY_LENGTH));
    return 0;
  }
}
