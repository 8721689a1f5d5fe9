// What an admin route answers, as data.

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that goes on until its reader leaves. */
export interface Streamed {
  readonly type: string;
  /** Begins to write; gives what is to be called when the reader has left. */
  stream(sink: StreamSink): () => void;
}

export interface StreamSink {
  /** Whether all that was written has gone to the kernel: who reads too slowly is told less, or left. */
  readonly ready: boolean;
  /** What has not, octets. */
  readonly waiting: number;
  write(text: string): void;
  end(): void;
}

export function text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: body.endsWith('\n') ? body : `${body}\n`, headers };
}

export function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}
