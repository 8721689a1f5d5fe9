// The result of a load: plain data that fits in JSON.

/** A histogram for HdrHistogram's tools. */
export interface EncodedHistogram {
  /** Unit of the values. */
  readonly unit: 'us';
  /** V2, compressed, in base64. */
  readonly v2: string;
  readonly count: number;
  /** Sum of the recorded values, in `unit`. */
  readonly sum: number;
}

/** What was said on gRPC's calls of several messages. */
export interface MessageResult {
  readonly sent: number;
  readonly received: number;
  /** `grpc-bidi`: from when a message was sent to its answer; `grpc-server`: from the call's beginning, or the message before, to a message. Else empty. */
  readonly latency: EncodedHistogram;
}

export interface LoadInterval {
  /** Since the measured time began. */
  readonly startMs: number;
  readonly endMs: number;
  readonly done: number;
  readonly errors: number;
  readonly latency: EncodedHistogram;
}

export interface LoadResult {
  /** Since the epoch: when the measured time began. */
  readonly startedAt: number;
  /** Measured time, without the warm-up. */
  readonly seconds: number;
  /** Units of work: answers, connections, messages; for bulk, bytes. */
  readonly done: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Requested rate per second, null if there was none. */
  readonly wantedRate: number | null;
  /** Requests due in the measured time but not sent when it ended. */
  readonly unsent: number;
  /** By their kind: `refused`, `reset`, `timeout`, `closed`, `protocol`, `tls`, `status` … */
  readonly errors: Readonly<Record<string, number>>;
  /** The first octets (at most 64, as Latin-1) of the first thing received that was not an answer. */
  readonly unexpected?: string | undefined;
  /** The name of the error code of the first HTTP/2 GOAWAY that had one. */
  readonly goaway?: string | undefined;
  /** Answers by status code; for gRPC by `grpc-status`. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly connectionsOpened: number;
  /** Pauses before a connection was made again, because those before it had served nothing. */
  readonly pauses?: number;
  /** From the intended send time (with a rate), or the actual one. */
  readonly latency: EncodedHistogram;
  /** From the actual send time. */
  readonly service: EncodedHistogram;
  /** Time to connect, including the TLS handshake. */
  readonly connect: EncodedHistogram;
  /** Where calls have several messages. */
  readonly messages?: MessageResult;
  readonly intervals: readonly LoadInterval[];
  /** CPU time of the load generator, µs. */
  readonly cpu: { readonly userUs: number; readonly systemUs: number };
  /** It was ended early; this is what was measured until then. */
  readonly interrupted: boolean;
}
