// The configuration of the proxy's identity after parsing.

/** Source of an identity; paths are absolute. */
export type IdentitySourceConfig =
  | { readonly kind: 'files'; readonly certificate: string; readonly key: string; readonly anchors: string }
  | {
      readonly kind: 'spiffe';
      /** Path of the Workload API's socket. */
      readonly socket: string;
    }
  | {
      readonly kind: 'linkerd';
      /** `host:port` of the identity service. */
      readonly address: string;
      /** The name that its certificate must have. */
      readonly serverName: string;
      /** Files. */
      readonly token: string;
      /** PEM text, instead of a file. */
      readonly anchors: string;
      /** Bounds of the time from one certificate to the request for the next, ms. */
      readonly minRefreshMs: number;
      readonly maxRefreshMs: number;
    };

/** The identity of this proxy. */
export interface IdentityConfig {
  /** The name that the certificate must have; null: any. */
  readonly name: string | null;
  /** The name by which peers ask for this proxy; null: derived from its names. */
  readonly serverName: string | null;
  /** The trust domain that its name must belong to; null: any. */
  readonly trustDomain: string | null;
  /** Timeout of an answer, ms. */
  readonly timeoutMs: number;
  /** Bounds of the wait after a failure, ms. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly source: IdentitySourceConfig;
}
