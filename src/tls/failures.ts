// Why handshakes fail, in the words of the metrics and of the log.
import { TLS_PAGE } from '../io/native-tls.js';

export const TLS_FAILURES = [
  'timeout',
  'displaced',
  'left',
  'plain-text',
  'version',
  'cipher',
  'alpn',
  'no-certificate',
  'unknown-authority',
  'expired',
  'not-yet-valid',
  'wrong-name',
  'bad-certificate',
  'refused',
  'malformed',
  'internal',
] as const;

/** Places in TLS_FAILURES. */
export const FAILURE = {
  /** None. */
  NONE: -1,
  /** It took too long. */
  TIMEOUT: TLS_FAILURES.indexOf('timeout'),
  /** It kept us waiting, and others wanted its place. */
  DISPLACED: TLS_FAILURES.indexOf('displaced'),
  /** The peer closed the connection, or the connection broke. */
  PEER_CLOSED: TLS_FAILURES.indexOf('left'),
  /** The bytes were not TLS. */
  PLAIN: TLS_FAILURES.indexOf('plain-text'),
  VERSION: TLS_FAILURES.indexOf('version'),
  /** No common cipher, group or signature. */
  CIPHER: TLS_FAILURES.indexOf('cipher'),
  /** No common protocol. */
  ALPN: TLS_FAILURES.indexOf('alpn'),
  NO_CERTIFICATE: TLS_FAILURES.indexOf('no-certificate'),
  AUTHORITY: TLS_FAILURES.indexOf('unknown-authority'),
  EXPIRED: TLS_FAILURES.indexOf('expired'),
  NOT_YET_VALID: TLS_FAILURES.indexOf('not-yet-valid'),
  /** The certificate is for another name. */
  NAME: TLS_FAILURES.indexOf('wrong-name'),
  CERTIFICATE: TLS_FAILURES.indexOf('bad-certificate'),
  /** The peer refuses our certificate. */
  REFUSED: TLS_FAILURES.indexOf('refused'),
  MALFORMED: TLS_FAILURES.indexOf('malformed'),
  /** Out of memory, or no certificate of our own. */
  INTERNAL: TLS_FAILURES.indexOf('internal'),
} as const;

/** OpenSSL reports received alerts as reasons from here on. */
const ALERT_REASONS = 1000;
/** Alerts (RFC 8446 section 6.2). */
const ALERT = {
  HANDSHAKE_FAILURE: 40,
  BAD_CERTIFICATE: 42,
  CERTIFICATE_UNKNOWN: 46,
  UNKNOWN_CA: 48,
  ACCESS_DENIED: 49,
  PROTOCOL_VERSION: 70,
  INSUFFICIENT_SECURITY: 71,
  INTERNAL_ERROR: 80,
  CERTIFICATE_REQUIRED: 116,
  NO_APPLICATION_PROTOCOL: 120,
} as const;

/** X509_V_ERR_* with a cause of their own. */
const VERIFY: Readonly<Record<number, number>> = {
  2: FAILURE.AUTHORITY,
  9: FAILURE.NOT_YET_VALID,
  10: FAILURE.EXPIRED,
  18: FAILURE.AUTHORITY,
  19: FAILURE.AUTHORITY,
  20: FAILURE.AUTHORITY,
  21: FAILURE.AUTHORITY,
  50: FAILURE.NAME,
  62: FAILURE.NAME,
  63: FAILURE.NAME,
  64: FAILURE.NAME,
};

/** SSL_R_* (openssl/sslerr.h) with a cause of their own. */
const REASON: Readonly<Record<number, number>> = {
  // HTTPS_PROXY_REQUEST, HTTP_REQUEST
  155: FAILURE.PLAIN,
  156: FAILURE.PLAIN,
  // WRONG_VERSION_NUMBER, UNSUPPORTED_PROTOCOL, VERSION_TOO_LOW
  258: FAILURE.VERSION,
  267: FAILURE.VERSION,
  396: FAILURE.VERSION,
  // NO_SHARED_CIPHER, NO_SUITABLE_KEY_SHARE, NO_SUITABLE_GROUPS, NO_SHARED_GROUPS, NO_SUITABLE_SIGNATURE_ALGORITHM,
  // NO_SHARED_SIGNATURE_ALGORITHMS
  193: FAILURE.CIPHER,
  101: FAILURE.CIPHER,
  295: FAILURE.CIPHER,
  410: FAILURE.CIPHER,
  118: FAILURE.CIPHER,
  376: FAILURE.CIPHER,
  // PEER_DID_NOT_RETURN_A_CERTIFICATE
  199: FAILURE.NO_CERTIFICATE,
  // NO_APPLICATION_PROTOCOL
  235: FAILURE.ALPN,
};

const VERIFY_FAILED = 134;
/** General reasons (ERR_R_MALLOC_FAILURE and the like) have flags from this bit on. */
const COMMON_REASONS = 1 << 18;

function causeOfAlert(alert: number): number {
  switch (alert) {
    case ALERT.PROTOCOL_VERSION:
      return FAILURE.VERSION;
    case ALERT.HANDSHAKE_FAILURE:
    case ALERT.INSUFFICIENT_SECURITY:
      return FAILURE.CIPHER;
    case ALERT.NO_APPLICATION_PROTOCOL:
      return FAILURE.ALPN;
    default:
      return alert >= ALERT.BAD_CERTIFICATE && alert <= ALERT.CERTIFICATE_UNKNOWN ? FAILURE.REFUSED : namedAlert(alert);
  }
}

function namedAlert(alert: number): number {
  const refused: readonly number[] = [ALERT.UNKNOWN_CA, ALERT.ACCESS_DENIED, ALERT.CERTIFICATE_REQUIRED];
  if (refused.includes(alert)) return FAILURE.REFUSED;
  return alert === ALERT.INTERNAL_ERROR ? FAILURE.PEER_CLOSED : FAILURE.MALFORMED;
}

/** The cause of a failed handshake, from the last call; `tls`: the first byte looked like TLS. */
export function causeOf(page: Int32Array, tls: boolean): number {
  if (!tls) return FAILURE.PLAIN;
  const reason = page[TLS_PAGE.REASON];
  const verify = page[TLS_PAGE.VERIFY];
  if (reason === VERIFY_FAILED || (verify !== 0 && reason < ALERT_REASONS))
    return VERIFY[verify] ?? FAILURE.CERTIFICATE;
  if (reason >= ALERT_REASONS && reason < ALERT_REASONS + 256) return causeOfAlert(reason - ALERT_REASONS);
  return REASON[reason] ?? (reason >= COMMON_REASONS ? FAILURE.INTERNAL : FAILURE.MALFORMED);
}
