// An admin route's answer, as data.

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that continues until its reader leaves. */
export interface Streamed {
  readonly type: string;
  /** Starts writing; returns a function to call when the reader has left. */
  stream(sink: StreamSink): () => void;
}

export interface StreamSink {
  /** Whether everything written has gone to the kernel: slow readers get less, or are dropped. */
  readonly ready: boolean;
  /** Bytes that have not. */
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
