// Verdicts of detection: counts them and finds out what they lead to.
import { mayBeTls, VERDICT } from '../../detect/matcher.js';
import {
  LISTENER_HISTOGRAMS,
  listenerBase,
  listenerHistogram,
  MAX_LISTENERS,
  verdictField,
} from '../../metrics/layout.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';

const DETECT_US = LISTENER_HISTOGRAMS.indexOf('detect_us');

export class Verdicts {
  private readonly histogram = new Int32Array(MAX_LISTENERS);

  constructor(private readonly context: Context) {
    for (let i = 0; i < MAX_LISTENERS; i++) this.histogram[i] = listenerHistogram(i, DETECT_US);
  }

  /** Detection is complete. */
  judged(client: SocketSlot, listener: number, verdict: number, reason: number): void {
    const { connections, reactor, metrics } = this.context;
    this.count(listener, verdict, reason);
    metrics.record(this.histogram[listener], (reactor.now - connections.opened[client]) * 1000);
  }

  count(listener: number, verdict: number, reason: number): void {
    this.context.values[listenerBase(listener) + verdictField(verdict, reason)]++;
  }

  /** Whether the client's service for HTTP (of the version of `verdict`) is declared opaque. */
  opaqueEndpoints(client: SocketSlot, verdict: number): boolean {
    const service = this.context.serviceFor(client, verdict);
    return service >= 0 && this.context.services.opaque[service] === 1;
  }

  /** Whether nothing is left to decide: the client does not speak TLS, and everything else goes to one opaque service. */
  opaqueUnlessTls(client: SocketSlot, state: number): boolean {
    if (mayBeTls(state) || !this.opaqueEndpoints(client, VERDICT.OPAQUE)) return false;
    const service = this.context.serviceFor(client, VERDICT.OPAQUE);
    return (
      this.context.serviceFor(client, VERDICT.HTTP1) === service &&
      this.context.serviceFor(client, VERDICT.HTTP2) === service
    );
  }
}
