// What a worker has made of the profiles that it was told: contexts of OpenSSL. A profile that changes gets new ones for new connections; those
// that stand hold on to theirs.

import type { TlsContextOptions } from '../io/native-tls.js';
import { OFFERS, offered } from './alpn.js';
import type { TlsEngine } from './engine.js';
import type { TlsProfile } from './profile.js';

const CLIENT_CERTIFICATE = { none: 0, optional: 1, required: 2 } as const;

/** What peers may send in a handshake, octets. */
export interface HandshakeSizes {
  readonly maxHello: number;
  /** The chain of an endpoint; of a client half as much. */
  readonly maxChain: number;
}

interface Entry {
  readonly profile: TlsProfile;
  /** By OFFER; 0 where it has not been made. */
  readonly contexts: Int32Array;
}

export class Contexts {
  private entries = new Map<number, Entry>();
  private sizes: HandshakeSizes = { maxHello: 20 * 1024, maxChain: 64 * 1024 };

  constructor(private readonly engine: Pick<TlsEngine, 'tlsContext' | 'tlsContextFree'>) {}

  /**
   * Takes over new settings. Returns what OpenSSL says of profiles that it does not take: what there was in their slots serves on.
   */
  configure(profiles: readonly TlsProfile[], sizes: HandshakeSizes = this.sizes): string[] {
    const resized = sizes.maxHello !== this.sizes.maxHello || sizes.maxChain !== this.sizes.maxChain;
    this.sizes = sizes;
    const entries = new Map<number, Entry>();
    const problems: string[] = [];
    for (const profile of profiles) {
      const before = this.entries.get(profile.slot);
      let entry = before?.profile.generation === profile.generation && !resized ? before : undefined;
      if (entry === undefined) {
        try {
          entry = this.make(profile);
        } catch (error) {
          problems.push(error instanceof Error ? error.message : String(error));
          // The slot may have been somebody else's.
          if (before !== undefined && isSuccessor(profile, before.profile)) entry = before;
        }
      }
      if (entry !== undefined) entries.set(profile.slot, entry);
    }
    for (const [slot, entry] of this.entries) if (entries.get(slot) !== entry) this.free(entry);
    this.entries = entries;
    return problems;
  }

  profile(slot: number): TlsProfile | undefined {
    return this.entries.get(slot)?.profile;
  }

  /** The context for a connection that offers OFFER; 0 if there is none. */
  of(slot: number, offer: number): number {
    const entry = this.entries.get(slot);
    if (entry === undefined) return 0;
    const { contexts, profile } = entry;
    const which = profile.role === 'server' || profile.alpn.length === 0 ? 0 : offer;
    if (contexts[which] === 0) {
      try {
        contexts[which] = this.engine.tlsContext(optionsOf(profile, which, this.sizes));
      } catch {
        // Memory is short: what it is made of was good enough for the first.
        return 0;
      }
    }
    return contexts[which];
  }

  private make(profile: TlsProfile): Entry {
    const contexts = new Int32Array(OFFERS);
    contexts[0] = this.engine.tlsContext(optionsOf(profile, 0, this.sizes));
    return { profile, contexts };
  }

  private free({ contexts }: Entry): void {
    for (const context of contexts) if (context !== 0) this.engine.tlsContextFree(context);
  }
}

/** Whether `profile` may be what has become of `before`, and not of somebody else's. */
function isSuccessor(profile: TlsProfile, before: TlsProfile): boolean {
  return profile.role === before.role && profile.serverName === before.serverName;
}

function optionsOf(profile: TlsProfile, offer: number, { maxHello, maxChain }: HandshakeSizes): TlsContextOptions {
  const { role, certificates, anchors, clientCertificate, minVersion, tickets, wholeNames } = profile;
  return {
    server: role === 'server',
    certificates,
    anchors,
    systemTrust: role === 'client' && anchors.length === 0,
    clientCertificate: CLIENT_CERTIFICATE[clientCertificate],
    minVersion: minVersion === '1.2' ? 0x0303 : 0x0304,
    alpn: offered(profile.alpn, offer),
    tickets,
    wholeNames,
    maxHello,
    maxChain: role === 'server' ? Math.floor(maxChain / 2) : maxChain,
  };
}
