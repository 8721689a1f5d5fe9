// OpenSSL contexts that a worker has made from its profiles. A changed profile gets new ones for new connections; existing connections keep
// theirs.

import type { TlsContextOptions } from '../io/native-tls.js';
import { OFFERS, offered } from './alpn.js';
import type { TlsEngine } from './engine.js';
import type { TlsProfile } from './profile.js';

const CLIENT_CERTIFICATE = { none: 0, optional: 1, required: 2 } as const;

/** Limits on what peers may send in a handshake, bytes. */
export interface HandshakeSizes {
  readonly maxHello: number;
  /** Chain of an endpoint; half of it for a client. */
  readonly maxChain: number;
}

interface Entry {
  readonly profile: TlsProfile;
  /** By OFFER; 0 if not created yet. */
  readonly contexts: Int32Array;
}

export class Contexts {
  private entries = new Map<number, Entry>();
  private sizes: HandshakeSizes = { maxHello: 20 * 1024, maxChain: 64 * 1024 };

  constructor(private readonly engine: Pick<TlsEngine, 'tlsContext' | 'tlsContextFree'>) {}

  /** Applies new settings. Returns OpenSSL's objections to profiles; what was in their slots before stays in use. */
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
          // The slot may have belonged to another profile.
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

  /** The context for a connection with this OFFER; 0 if there is none. */
  of(slot: number, offer: number): number {
    const entry = this.entries.get(slot);
    if (entry === undefined) return 0;
    const { contexts, profile } = entry;
    const which = profile.role === 'server' || profile.alpn.length === 0 ? 0 : offer;
    if (contexts[which] === 0) {
      try {
        contexts[which] = this.engine.tlsContext(optionsOf(profile, which, this.sizes));
      } catch {
        // Memory is short: the same input was valid the first time.
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

/** Whether `profile` is a new version of `before`, rather than a different profile. */
function isSuccessor(profile: TlsProfile, before: TlsProfile): boolean {
  return profile.role === before.role && profile.serverName === before.serverName;
}

function optionsOf(profile: TlsProfile, offer: number, { maxHello, maxChain }: HandshakeSizes): TlsContextOptions {
  const {
    role,
    certificates,
    anchors,
    clientCertificate,
    minVersion,
    tickets,
    wholeNames,
    unverified = false,
  } = profile;
  return {
    server: role === 'server',
    certificates,
    anchors,
    systemTrust: role === 'client' && anchors.length === 0 && !unverified,
    clientCertificate: CLIENT_CERTIFICATE[clientCertificate],
    minVersion: minVersion === '1.2' ? 0x0303 : 0x0304,
    alpn: offered(profile.alpn, offer),
    tickets,
    wholeNames,
    unverified,
    maxHello,
    maxChain: role === 'server' ? Math.floor(maxChain / 2) : maxChain,
  };
}
