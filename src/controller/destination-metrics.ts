// What the destination service counts.
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { METHODS, type Method } from '../destination/server/call.js';
import { STATUS, type Status } from '../destination/server/grpc-call.js';
import type { DestinationEvents, DestinationServer } from '../destination/server/server.js';

const SECONDS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5];
const STATUSES = new Map<Status, string>(
  Object.entries(STATUS).map(([name, code]) => [code, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)]),
);

export class DestinationMetrics implements DestinationEvents {
  readonly #streams: Gauge<'method'>;
  readonly #begun: Counter<'method'>;
  readonly #refused: Counter<'status'>;
  readonly #connectionsRefused: Counter<'reason'>;
  readonly #updates: Counter<'method'>;
  readonly #octets: Counter<'method'>;
  readonly #encodings: Counter;
  readonly #coalesced: Counter;
  readonly #seconds: Histogram<'method'>;

  constructor(private readonly registry: Registry) {
    const registers = [registry];
    const counter = <Label extends string>(name: string, help: string, labelNames: Label[] = []): Counter<Label> =>
      new Counter({ name: `sluice_destination_${name}`, help, labelNames, registers });
    const help = 'Streams open now';
    this.#streams = new Gauge({ name: 'sluice_destination_streams', help, labelNames: ['method'], registers });
    this.#begun = counter('streams_total', 'Streams opened', ['method']);
    this.#refused = counter('refused_total', 'Calls that got no stream, and streams that were cut off', ['status']);
    this.#connectionsRefused = counter('connections_refused_total', 'Connections refused', ['reason']);
    this.#updates = counter('updates_total', 'Updates sent', ['method']);
    this.#octets = counter('update_bytes_total', 'Bytes of the updates sent', ['method']);
    this.#encodings = counter('encodings_total', 'Updates encoded; streams share them');
    this.#coalesced = counter('coalesced_total', 'Changes that a later one overtook before they were sent');
    this.#seconds = new Histogram({
      name: 'sluice_destination_update_seconds',
      help: 'Time from a change until it is sent',
      labelNames: ['method'],
      buckets: SECONDS,
      registers,
    });
    for (const method of METHODS) {
      this.#streams.set({ method }, 0);
      for (const each of [this.#begun, this.#updates, this.#octets]) each.inc({ method }, 0);
      this.#seconds.zero({ method });
    }
    for (const status of STATUSES.values()) if (status !== 'ok') this.#refused.inc({ status }, 0);
    for (const reason of ['limit', 'handshake']) this.#connectionsRefused.inc({ reason }, 0);
  }

  watch(server: Pick<DestinationServer, 'connections' | 'stalled' | 'topics'>): void {
    this.#live('connections', 'Connections of clients', () => server.connections);
    this.#live('stalled_streams', 'Streams whose clients do not read', () => server.stalled);
    this.#live('topics', 'Addresses and Services watched for streams', () => server.topics);
  }

  begun(method: Method): void {
    this.#begun.inc({ method });
    this.#streams.inc({ method });
  }

  ended(method: Method): void {
    this.#streams.dec({ method });
  }

  refused(status: Status): void {
    this.#refused.inc({ status: STATUSES.get(status) ?? 'internal' });
  }

  connectionRefused(reason: 'limit' | 'handshake'): void {
    this.#connectionsRefused.inc({ reason });
  }

  sent(method: Method, octets: number, lagMs: number): void {
    this.#updates.inc({ method });
    this.#octets.inc({ method }, octets);
    this.#seconds.observe({ method }, lagMs / 1000);
  }

  encoded(): void {
    this.#encodings.inc();
  }

  coalesced(): void {
    this.#coalesced.inc();
  }

  #live(name: string, help: string, value: () => number): void {
    new Gauge({
      name: `sluice_destination_${name}`,
      help,
      registers: [this.registry],
      collect: function collect() {
        this.set(value());
      },
    });
  }
}
