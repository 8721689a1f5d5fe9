// A span as a worker reports it: plain data. encode.ts converts it to OTLP.

export interface Span {
  /** Hexadecimal: 32, 16 and 16 digits. '': no parent. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  /** The listener's direction: inbound spans are SERVER, outbound ones CLIENT. */
  readonly inbound: boolean;
  /** ms since 1970, with fractions. */
  startMs: number;
  endMs: number;
  readonly method: string;
  /** With its query, as sent. */
  readonly path: string;
  readonly authority: string;
  readonly userAgent: string;
  /** The client's address, and whether it uses HTTP/2. */
  readonly version: string;
  readonly secure: boolean;
  readonly client: string;
  readonly identity: string;
  readonly listener: string;
  readonly grpc: boolean;
  service: string;
  endpoint: string;
  endpointVersion: string;
  /** The status that the client received; 0: none. */
  status: number;
  /** -1: none. */
  grpcStatus: number;
  /** Time until the response began, µs; -1: there was none. */
  latencyUs: number;
  /** Whether the client received a complete response from an endpoint. */
  whole: boolean;
  /** Its route class and outcome, as numbered in the metrics (src/metrics/response-cells.ts). */
  cell: number;
  attempts: number;
  received: number;
  sent: number;
  /** Why the response was not complete, or not from an endpoint; '' if it was both. */
  reason: string;
}
