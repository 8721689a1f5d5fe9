// Why a certificate is refused: a reason for metrics and log, the gRPC status for the caller, and a message for people.

/** gRPC status by reason. */
export const REFUSAL_STATUS = {
  /** Name, token or signing request missing, too large or invalid. */
  'bad-request': 'INVALID_ARGUMENT',
  /** The signing request can't be parsed, or its signature is wrong. */
  'bad-signing-request': 'INVALID_ARGUMENT',
  /** A kind or size of key that is not allowed. */
  'bad-key': 'INVALID_ARGUMENT',
  /** The signing request asks for other names, or for a CA. */
  'asks-too-much': 'INVALID_ARGUMENT',
  /** The token is not valid. */
  'bad-token': 'UNAUTHENTICATED',
  /** The token belongs to an account with another name. */
  'not-allowed': 'PERMISSION_DENIED',
  /** The token can't be checked now. */
  'review-unavailable': 'UNAVAILABLE',
  /** The issuer's certificate has expired, or is not valid yet. */
  'issuer-unusable': 'UNAVAILABLE',
  /** Too many at once, or in a second. */
  overload: 'RESOURCE_EXHAUSTED',
  draining: 'UNAVAILABLE',
  /** The caller left before the answer. */
  cancelled: 'CANCELLED',
  internal: 'INTERNAL',
} as const;

export type RefusalReason = keyof typeof REFUSAL_STATUS;

export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly reason: RefusalReason,
    /** Also sent to the caller: nothing that only operators may know. */
    message: string,
    /** For the log, possibly with more detail. */
    readonly detail = message,
  ) {
    super(message);
  }
}
