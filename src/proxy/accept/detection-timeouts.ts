// How long detection waits for a client that says nothing, or nothing decisive.
import { HTTP_LIKELIHOOD, httpLikelihood, VERDICT } from '../../detect/matcher.js';
import { column } from '../../http/columns.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';
import type { Races } from './races.js';
import type { TlsPeek } from './tls-peek.js';

/** While draining, a client that has sent nothing for this long since it connected is closed, ms. */
export const DRAIN_SILENT_MS = 1000;
/** Silence after bytes that can hardly become HTTP, if there is no race to wait for, ms. */
const UNLIKELY_MS = 50;
/** Silence after bytes that may become HTTP, ms: longer than the gap between segments of one request line. */
const POSSIBLE_MS = 250;
/** Value of `closeReason`: none. */
export const NO_CLOSE = -1;
const NONE = -1;
export const NEVER = Number.POSITIVE_INFINITY;

export class DetectionTimeouts {
  /** State of the matcher. */
  readonly state: Int32Array;
  /** When detection began, ms after the connection was accepted: at once, or inside TLS. Only written if not 0. */
  readonly began: Float64Array;
  /** When the client fell silent, ms: its transport became ready, or it last sent something. NEVER: it could not speak yet. */
  readonly since: Float64Array;
  /** CLOSE reason for a client that stays silent because its server, which speaks first, is unreachable. NO_CLOSE otherwise. */
  readonly closeReason: Int8Array;

  constructor(
    private readonly context: Context,
    private readonly races: Pick<Races, 'begun' | 'dialling'>,
    private readonly peek: Pick<TlsPeek, 'applies' | 'isReading' | 'helloMs'>,
  ) {
    const n = context.sockets.capacity;
    this.state = column(Int32Array, n);
    this.began = column(Float64Array, n);
    this.since = column(Float64Array, n);
    this.closeReason = column(Int8Array, n);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.state, this.began, this.since, this.closeReason];
  }

  /** Whether the client has sent nothing that is likely to become HTTP. */
  waits(client: SocketSlot): boolean {
    return this.context.inbox.empty(client) || httpLikelihood(this.state[client]) !== HTTP_LIKELIHOOD.LIKELY;
  }

  /** Silence before an endpoint is dialled, -1 for never: nothing is dialled for a client that the rules would not relay. */
  raceMs(client: SocketSlot): number {
    const { connections, destinations, authorization } = this.context;
    if (authorization.active && !authorization.wouldPermitBytes(client)) return NONE;
    const race = destinations.raceMs[connections.destination[client]];
    if (race < 0 || !this.peek.applies(client)) return race;
    if (this.peek.isReading(client)) return NONE;
    return this.context.inbox.empty(client) ? Math.max(race, this.peek.helloMs(client)) : race;
  }

  /** Whether it has been silent long enough to dial for it. */
  raceDue(client: SocketSlot): boolean {
    const race = this.raceMs(client);
    return race >= 0 && this.context.reactor.now >= this.since[client] + race;
  }

  /** When detection gives up, ms. */
  detectDeadline(client: SocketSlot): number {
    const { connections, destinations } = this.context;
    const timeout = destinations.timeoutMs[connections.destination[client]];
    // The transport between the client and its bytes has a timeout of its own.
    return timeout > 0 && this.since[client] !== NEVER
      ? connections.opened[client] + this.began[client] + timeout
      : NEVER;
  }

  /** When a client whose bytes do not look like HTTP has been silent long enough to be relayed, ms. */
  opaqueDeadline(client: SocketSlot): number {
    const { inbox } = this.context;
    if (inbox.empty(client)) return NEVER;
    const likelihood = httpLikelihood(this.state[client]);
    // If nothing accepts opaque traffic, relaying would mean closing.
    if (likelihood === HTTP_LIKELIHOOD.LIKELY || this.context.serviceFor(client, VERDICT.OPAQUE) < 0) return NEVER;
    const race = this.raceMs(client);
    if (likelihood === HTTP_LIKELIHOOD.POSSIBLE) return this.since[client] + Math.max(race, POSSIBLE_MS);
    // The race is decided once the connection is established, or none can be.
    return this.races.dialling(client) ? NEVER : this.since[client] + (race >= 0 ? race : UNLIKELY_MS);
  }

  /** When the timer of `client` is due next, ms; an integer, because fractions would be allocated. */
  deadline(client: SocketSlot): number {
    const { connections, inbox } = this.context;
    let deadline = Math.min(this.detectDeadline(client), this.opaqueDeadline(client));
    const race = this.raceMs(client);
    const closing = this.closeReason[client] !== NO_CLOSE && inbox.empty(client);
    if (race >= 0 && (closing || (!this.races.begun(client) && this.waits(client))))
      deadline = Math.min(deadline, this.since[client] + race);
    if (inbox.empty(client) && this.context.isDraining(client))
      deadline = Math.min(deadline, connections.opened[client] + DRAIN_SILENT_MS);
    return Math.ceil(deadline);
  }
}
