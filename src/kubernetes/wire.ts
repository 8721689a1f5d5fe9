// The interface between the client and its transport.

export interface Sent {
  readonly method: string;
  /** Including the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export interface Received {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** Throws if the answer breaks off. */
  readonly body: AsyncIterable<Buffer>;
  /** The body is not wanted. */
  discard(): void;
}

/** A connection, or several equivalent ones. */
export interface Wire {
  readonly protocol: 'h2' | 'http/1.1';
  /** It accepts no more calls; those in progress may continue. */
  readonly ended: boolean;
  /** Rejects if no answer begins; the signal ends everything in progress. */
  send(sent: Sent, signal: AbortSignal): Promise<Received>;
  /** Accepts no more calls; those in progress continue for a while. */
  leave(): void;
  /** Ends everything at once. */
  destroy(): void;
}

export interface WireTimes {
  /** Timeout for connecting, including the handshake, ms. */
  readonly connectMs: number;
  /** Interval of pings, and time for their answer, ms. */
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
}
