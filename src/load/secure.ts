// TLS on a load's connections: one profile for all of them.
import { ALPN_NAMES, OFFER } from '../tls/alpn.js';
import { FAILURE } from '../tls/failures.js';
import type { TlsTransport } from '../tls/transport.js';
import type { LoadPlan, LoadTls } from './plan.js';
import { ERROR } from './tally.js';

/** Slot of the profile. */
const PROFILE = 1;
/** A load may make any number of handshakes. */
const LIMITS = { max: 1_000_000, perTurn: 1_000_000, turnMs: 1000, displaceAfterMs: 600_000 } as const;

/** What the protocol needs. */
function alpnOf({ protocol }: LoadPlan): readonly string[] {
  switch (protocol) {
    case 'http2':
    case 'grpc':
    case 'grpc-stream':
    case 'grpc-server':
    case 'grpc-client':
    case 'grpc-bidi':
      return [ALPN_NAMES.HTTP2];
    case 'tcp':
    case 'tcp-bulk':
      return [];
    default:
      return [ALPN_NAMES.HTTP1];
  }
}

/** Certificates of a PEM text, one each. */
const certificatesOf = (pem: string): string[] =>
  pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];

/** Throws an Error with OpenSSL's objection. */
export function secure(transport: TlsTransport | undefined, tls: LoadTls, plan: LoadPlan): void {
  if (transport === undefined) throw new Error('this Node.js has no OpenSSL that Sluice can use');
  const { authorities, certificate, key, serverName, alpn, insecure = false } = tls;
  const profile = {
    slot: PROFILE,
    generation: 1,
    role: 'client',
    certificates: certificate === null || key === null ? [] : [{ chain: certificate, key, names: [] }],
    anchors: authorities === null ? [] : certificatesOf(authorities),
    clientCertificate: 'none',
    minVersion: '1.2',
    alpn: alpn.length > 0 ? alpn : alpnOf(plan),
    tickets: false,
    serverName,
    wholeNames: false,
    unverified: insecure,
  } as const;
  const [problem] = transport.configure([profile], { ...LIMITS, timeoutMs: plan.timeoutMs });
  if (problem !== undefined) throw new Error(`TLS: ${problem}`);
  transport.targets = {
    accepts: () => 0,
    dials: () => PROFILE,
    identityOf: () => '',
    serverNameOf: () => '',
    offer: () => OFFER.ALL,
  };
}

const UNTRUSTED: readonly number[] = [FAILURE.AUTHORITY, FAILURE.EXPIRED, FAILURE.NOT_YET_VALID, FAILURE.CERTIFICATE];

/** The ERROR of a handshake that failed with `cause`, a FAILURE. */
export function errorOfHandshake(cause: number, plan: LoadPlan): number {
  if (cause === FAILURE.PLAIN) return ERROR.plain;
  if (cause === FAILURE.ALPN) return alpnOf(plan).includes(ALPN_NAMES.HTTP2) ? ERROR.http1 : ERROR.http2;
  if (cause === FAILURE.TIMEOUT) return ERROR.timeout;
  if (cause === FAILURE.NAME) return ERROR.name;
  if (cause === FAILURE.REFUSED) return ERROR['client-certificate'];
  return UNTRUSTED.includes(cause) ? ERROR.certificate : ERROR.tls;
}
