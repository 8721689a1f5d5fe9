// The mesh's rules for a proxy: the identity in its certificate decides which ones apply.
import type { Http2Session } from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { Watch } from '../../discovery/source.js';
import { parseWorkloadName, type ServiceAccount } from '../../identity/names.js';
import { encodeRules, type RulesMessage } from '../rules-message.js';
import { framed } from './grpc-call.js';
import type { State } from './states.js';

export interface Rules {
  /** Reports what applies to the account, once known and whenever it changes; null: nothing does. */
  watch(namespace: string, account: string, report: (rules: RulesMessage | null) => void): Watch;
}

export class RulesState implements State {
  readonly #message: Buffer;

  constructor(rules: RulesMessage | null) {
    this.#message = framed([encodeRules(rules)]);
  }

  since(): Buffer {
    return this.#message;
  }
}

const DNS = /(?:^|, )DNS:([^,"]+)/g;

/** The service account in the peer's certificate; null if there is none. */
export function accountOfPeer(session: Http2Session | undefined): Pick<ServiceAccount, 'namespace' | 'account'> | null {
  const socket = session?.destroyed === false ? (session.socket as Partial<TLSSocket> | undefined) : undefined;
  const names = socket?.getPeerX509Certificate?.()?.subjectAltName ?? '';
  for (const [, name] of names.matchAll(DNS)) {
    const parsed = parseWorkloadName(name);
    if (typeof parsed !== 'string' && parsed.kind === 'dns' && parsed.account !== null) return parsed.account;
  }
  return null;
}
