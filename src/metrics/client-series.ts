// Counts the clients of a listener by identity: a block of C for each certified identity, and one for each other place in LISTENER_TLS.
// Blocks belong to one worker; the main thread is told their names, and adds up blocks of the same name.
import { C, clientBase, LISTENER_TLS, MAX_CLIENT_SERIES, MAX_LISTENERS, SEEN } from './layout.js';

/** The identity for those that find no room. */
export const OTHER_IDENTITIES = 'other';

/** A block in use. */
export interface ClientSeriesName {
  readonly series: number;
  readonly listener: number;
  /** Place in LISTENER_TLS. */
  readonly seen: number;
  /** '' if the client presented no certificate. */
  readonly identity: string;
}

const NONE = -1;

export class ClientSeries {
  /** Is told of each new block. */
  named: ((name: ClientSeriesName) => void) | undefined;
  private most = 0;
  private readonly identities = new Set<string>();
  private used = 0;
  /** First value plus 1 for clients without an identity, by listener and LISTENER_TLS; 0: not in use. */
  private readonly bases = new Int32Array(MAX_LISTENERS * LISTENER_TLS.length);
  private readonly byIdentity: Map<string, number>[] = Array.from({ length: MAX_LISTENERS }, () => new Map());
  /** Names of listeners, by slot. */
  private readonly listeners: string[] = new Array<string>(MAX_LISTENERS).fill('');
  /** 1 for listeners whose clients' identity is not known at once. */
  private readonly later = new Uint8Array(MAX_LISTENERS);

  configure(
    listeners: readonly {
      readonly slot: number;
      readonly name: string;
      readonly mesh: boolean;
      readonly tls: number;
    }[],
    most: number,
  ): void {
    this.most = most;
    for (const { slot, name, mesh, tls } of listeners) {
      // Listeners that share the overflow.
      if (slot === 0) continue;
      this.later[slot] = mesh || tls !== 0 ? 1 : 0;
      if (this.listeners[slot] === name) continue;
      this.listeners[slot] = name;
      this.bases.fill(0, slot * LISTENER_TLS.length, (slot + 1) * LISTENER_TLS.length);
      this.byIdentity[slot].clear();
    }
  }

  /** Whether a client on `listener` is counted only once its identity is known. */
  waits(listener: number): boolean {
    return this.later[listener] === 1;
  }

  /** First value of the block for such clients; -1 if there is no room. */
  baseOf(listener: number, seen: number, identity: string): number {
    if (listener === 0) return NONE;
    if (identity === '') {
      const at = listener * LISTENER_TLS.length + seen;
      if (this.bases[at] === 0) this.bases[at] = this.take(listener, seen, identity) + 1;
      return this.bases[at] - 1;
    }
    const known = this.byIdentity[listener].get(identity);
    if (known !== undefined) return known;
    if (this.identities.size < this.most) this.identities.add(identity);
    if (identity !== OTHER_IDENTITIES && !this.identities.has(identity))
      return this.baseOf(listener, SEEN.ENDED, OTHER_IDENTITIES);
    const base = this.take(listener, seen, identity);
    if (base >= 0) this.byIdentity[listener].set(identity, base);
    return base;
  }

  private take(listener: number, seen: number, identity: string): number {
    if (this.used === MAX_CLIENT_SERIES) return NONE;
    const series = this.used++;
    this.named?.({ series, listener, seen, identity });
    return clientBase(series);
  }
}

/** The fields of C that end with their worker. */
export const CLIENT_GAUGES = [C.OPEN] as const;
