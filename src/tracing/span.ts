// A span as a worker tells of it: plain data. encode.ts makes OTLP of it.

export interface Span {
  /** Hexadecimal: 32, 16 and 16 digits. No parent is ''. */
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  /** On which side of the application the listener is: SERVER for inbound, CLIENT for outbound. */
  readonly inbound: boolean;
  /** Since 1970, ms with fractions. */
  startMs: number;
  endMs: number;
  readonly method: string;
  /** With its query, as it was sent. */
  readonly path: string;
  readonly authority: string;
  readonly userAgent: string;
  /** The client's, and whether it speaks HTTP/2. */
  readonly version: string;
  readonly secure: boolean;
  readonly client: string;
  readonly identity: string;
  readonly listener: string;
  readonly grpc: boolean;
  service: string;
  endpoint: string;
  endpointVersion: string;
  /** What the client has got; 0: nothing. */
  status: number;
  /** -1: none. */
  grpcStatus: number;
  /** Until the response began, µs; -1: there was none. */
  latencyUs: number;
  /** The client has got a whole response of an endpoint. */
  whole: boolean;
  /** Its route class and outcome, as the metrics number them (src/metrics/response-cells.ts). */
  cell: number;
  attempts: number;
  received: number;
  sent: number;
  /** Why it was no whole response of the endpoint; '' where it was. */
  reason: string;
}
