// The seam between the client and what carries its calls.

export interface Sent {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | null;
}

export interface Received {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** Throws where the answer breaks off. */
  readonly body: AsyncIterable<Buffer>;
  /** The body is not wanted. */
  discard(): void;
}

/** A connection, or several that are as good as one. */
export interface Wire {
  readonly protocol: 'h2' | 'http/1.1';
  /** It takes no more calls; those under way may go on. */
  readonly ended: boolean;
  /** Rejects where no answer begins; what is under way ends with the signal. */
  send(sent: Sent, signal: AbortSignal): Promise<Received>;
  /** Takes no more calls; those under way go on for a while. */
  leave(): void;
  /** Ends everything on it at once. */
  destroy(): void;
}

export interface WireTimes {
  /** For a connection and its handshake, ms. */
  readonly connectMs: number;
  /** How often a connection is asked whether it is alive, and how long it may take to say so, ms. */
  readonly pingMs: number;
  readonly pingTimeoutMs: number;
}
