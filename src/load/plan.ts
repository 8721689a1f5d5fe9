// The requested load: plain data, from a command line or a scenario, sent to the threads.

/** Protocols. */
export type LoadProtocol =
  | 'http1'
  | 'http2'
  /** Unary calls. */
  | 'grpc'
  /** Calls that stay: a request is a message on one, and over when a message has come back. */
  | 'grpc-stream'
  /** Calls of one message that is answered by several, of several that are answered by one, and of several with an answer each. */
  | 'grpc-server'
  | 'grpc-client'
  | 'grpc-bidi'
  /** Ping-pong of `bodyBytes` over raw TCP. */
  | 'tcp'
  /** One-way transfer at full speed. */
  | 'tcp-bulk'
  /** A connection for each request. */
  | 'connect'
  | 'websocket';

/** When requests are sent. With a rate, latency counts from the intended send time. */
export type Pace =
  /** The next request is sent `thinkMs` after an answer. */
  | { readonly kind: 'closed'; readonly thinkMs: number }
  /** `rate`: requests per second, over all connections. */
  | { readonly kind: 'constant'; readonly rate: number }
  | { readonly kind: 'poisson'; readonly rate: number; readonly seed: number }
  | { readonly kind: 'steps'; readonly steps: readonly { readonly rate: number; readonly seconds: number }[] };

export interface LoadTarget {
  /** Address to connect to, already resolved. */
  readonly address: string;
  readonly port: number;
  /** `Host` or `:authority`. */
  readonly authority: string;
  /** Including the query. */
  readonly path: string;
  /** Share of the requests, relative to other targets. */
  readonly weight: number;
}

export interface LoadTls {
  /** ALPN protocols to offer; empty: what the protocol needs. */
  readonly alpn: readonly string[];
  readonly serverName: string;
  /** PEM of trusted CAs; null: the system's. */
  readonly authorities: string | null;
  /** Whatever certificate the server shows is good. */
  readonly insecure?: boolean;
  /** PEM, for mutual TLS. */
  readonly certificate: string | null;
  readonly key: string | null;
}

export interface LoadPlan {
  readonly protocol: LoadProtocol;
  readonly targets: readonly LoadTarget[];
  readonly method: string;
  /** Request fields, names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Bytes of a request's body, or of a ping. */
  readonly bodyBytes: number;
  /** What is sent in place of letters, `bodyBytes` of it; undefined: letters. */
  readonly body?: Uint8Array;
  /** Of a call of `grpc-client` or `grpc-bidi`: messages that are sent; of `grpc-server`: that must come, 0: any number. */
  readonly messages?: number;
  readonly pace: Pace;
  /** Over all threads. */
  readonly connections: number;
  /** Maximum requests in progress per connection: HTTP/2 streams, else 1. */
  readonly streams: number;
  readonly keepAlive: boolean;
  readonly threads: number;
  /** Time before the measurement. */
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** After this time a request counts as an error, and its connection is closed. */
  readonly timeoutMs: number;
  readonly io: 'auto' | 'uring' | 'epoll';
  readonly tls: LoadTls | null;
}
