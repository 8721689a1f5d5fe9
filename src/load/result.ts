// What came of a load: plain data, which JSON can say.

/** A histogram as HdrHistogram's tools read it. */
export interface EncodedHistogram {
  /** Of the recorded values. */
  readonly unit: 'us';
  /** V2, compressed, in base64. */
  readonly v2: string;
  readonly count: number;
  /** Recorded values added up, in `unit`. */
  readonly sum: number;
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
  /** Measured, without the warm-up. */
  readonly seconds: number;
  /** Units of work: answers, connections, messages; of bulk, octets. */
  readonly done: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Per second that were asked for, null where nothing was. */
  readonly wantedRate: number | null;
  /** Requests that were to be sent in the measured time and had not been when it ended. */
  readonly unsent: number;
  /** By their kind: `refused`, `reset`, `timeout`, `closed`, `protocol`, `tls`, `status` … */
  readonly errors: Readonly<Record<string, number>>;
  /** Answers by status code; of gRPC by `grpc-status`. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly connectionsOpened: number;
  /** From the moment at which a request was to be sent (with a rate), or was sent. */
  readonly latency: EncodedHistogram;
  /** From the moment at which it was sent. */
  readonly service: EncodedHistogram;
  /** Of connections, with their TLS handshake. */
  readonly connect: EncodedHistogram;
  readonly intervals: readonly LoadInterval[];
  /** CPU time of the load generator, µs. */
  readonly cpu: { readonly userUs: number; readonly systemUs: number };
  /** It was ended early; what was measured until then is here. */
  readonly interrupted: boolean;
}
