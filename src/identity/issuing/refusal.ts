// Why a certificate is refused: a reason for metrics and log, the gRPC status that the caller gets, and words for people.

/** By reason, the gRPC status. */
export const REFUSAL_STATUS = {
  /** The request has no name, no token or no request for a certificate, or one of them is too large or makes no sense. */
  'bad-request': 'INVALID_ARGUMENT',
  /** The signing request can't be read, or its signature is wrong. */
  'bad-signing-request': 'INVALID_ARGUMENT',
  /** A kind or size of key that is not allowed. */
  'bad-key': 'INVALID_ARGUMENT',
  /** The signing request asks for more than the one name, or to be an authority. */
  'asks-too-much': 'INVALID_ARGUMENT',
  /** Nobody vouches for the token. */
  'bad-token': 'UNAUTHENTICATED',
  /** The token's account has another name. */
  'not-allowed': 'PERMISSION_DENIED',
  /** Who vouches for tokens can't be asked. */
  'review-unavailable': 'UNAVAILABLE',
  /** The issuer's certificate has ended, or has not begun. */
  'issuer-unusable': 'UNAVAILABLE',
  /** Too many at once, or in a second. */
  overload: 'RESOURCE_EXHAUSTED',
  draining: 'UNAVAILABLE',
  /** The caller has gone before the answer. */
  cancelled: 'CANCELLED',
  internal: 'INTERNAL',
} as const;

export type RefusalReason = keyof typeof REFUSAL_STATUS;

export class Refusal extends Error {
  override readonly name = 'Refusal';

  constructor(
    readonly reason: RefusalReason,
    /** For the caller too: nothing that only operators may know. */
    message: string,
    /** For the log, where it may be more. */
    readonly detail = message,
  ) {
    super(message);
  }
}
