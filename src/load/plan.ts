// What load is asked for: plain data, from a command line or a scenario, sent to the threads that make the load.

/** Who sends, and what is waited for. */
export type LoadProtocol =
  | 'http1'
  | 'http2'
  | 'grpc'
  | 'grpc-stream'
  /** Ping-pong of `bodyBytes` over raw TCP. */
  | 'tcp'
  /** As much as goes through, in one direction. */
  | 'tcp-bulk'
  /** A connection for each request. */
  | 'connect'
  | 'websocket';

/** When requests are sent. Where there is a rate, latency counts from the moment at which a request was to be sent. */
export type Pace =
  /** The next one when an answer has come, and `thinkMs` after it. */
  | { readonly kind: 'closed'; readonly thinkMs: number }
  /** `rate`: requests a second, of all connections together. */
  | { readonly kind: 'constant'; readonly rate: number }
  | { readonly kind: 'poisson'; readonly rate: number; readonly seed: number }
  | { readonly kind: 'steps'; readonly steps: readonly { readonly rate: number; readonly seconds: number }[] };

export interface LoadTarget {
  /** Address to connect to, resolved before. */
  readonly address: string;
  readonly port: number;
  /** `Host` or `:authority`. */
  readonly authority: string;
  /** With the query. */
  readonly path: string;
  /** Share of the requests, against those of the others. */
  readonly weight: number;
}

export interface LoadTls {
  /** Names that are offered by ALPN; what the protocol needs where it is empty. */
  readonly alpn: readonly string[];
  readonly serverName: string;
  /** PEM, of those whose certificates are trusted; null: as the system trusts. */
  readonly authorities: string | null;
  /** PEM, for mutual TLS. */
  readonly certificate: string | null;
  readonly key: string | null;
}

export interface LoadPlan {
  readonly protocol: LoadProtocol;
  readonly targets: readonly LoadTarget[];
  readonly method: string;
  /** Fields of requests, names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Octets of a request's body, or of a ping. */
  readonly bodyBytes: number;
  readonly pace: Pace;
  /** Of all threads together. */
  readonly connections: number;
  /** Requests that may be under way on a connection at once: streams of HTTP/2, else 1. */
  readonly streams: number;
  readonly keepAlive: boolean;
  readonly threads: number;
  /** Before what counts. */
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** After which a request counts as an error, and its connection is closed. */
  readonly timeoutMs: number;
  readonly io: 'auto' | 'uring' | 'epoll';
  readonly tls: LoadTls | null;
}
