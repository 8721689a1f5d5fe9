// An HTTP/1.1 server without sockets, as cheap as Node allows: bytes in, the same answer for each request out.

export interface Answered {
  /** The output; null: nothing yet. */
  readonly answer: Buffer | null;
  /** Whether the connection closes after it. */
  readonly close: boolean;
}

interface Head {
  readonly bodyBytes: number;
  readonly chunked: boolean;
  readonly close: boolean;
}

const END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');
const NOTHING: Buffer = Buffer.alloc(0);
/** Longer heads are not requests of ours. */
const MAX_HEAD = 65_536;

/**
 * The answer, as large as a typical one, because proxies pay for its size. `last`: the connection closes after it, which the peer must be
 * told (RFC 9112 section 9.6). Proxies that pass on a client's `Connection: close`, and keep connections, would use this one again.
 */
export function http1Response(bodyBytes: number, last = false): Buffer {
  const body = Buffer.alloc(bodyBytes, '0123456789');
  const close = last ? 'Connection: close\r\n' : '';
  const head = `HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: ${bodyBytes}\r\n${close}\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

function parse(head: Buffer): Head {
  const text = head.toString('latin1').toLowerCase();
  const length = /\r\ncontent-length:\s*(\d+)/.exec(text)?.[1] ?? '0';
  return {
    bodyBytes: Number(length),
    chunked: /\r\ntransfer-encoding:[^\r]*chunked/.test(text),
    close: /\r\nconnection:[^\r]*close/.test(text),
  };
}

export class Http1Responder {
  readonly #answer: Buffer;
  readonly #lastAnswer: Buffer;
  #kept = NOTHING;
  /** Remaining bytes of a body. */
  #body = 0;
  #inChunks = false;
  #closing = false;
  // Requests on a connection are mostly alike: each head is compared with the previous one.
  #last = NOTHING;
  #parsed: Head = { bodyBytes: 0, chunked: false, close: false };

  /** `last`: the answer with which a connection closes. */
  constructor(answer: Buffer, last: Buffer) {
    this.#answer = answer;
    this.#lastAnswer = last;
  }

  take(chunk: Buffer): Answered {
    const data = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    this.#kept = NOTHING;
    let at = 0;
    let requests = 0;
    while (at < data.length && !this.#closing) {
      const next = this.#inside ? this.#throughBody(data, at) : this.#throughHead(data, at);
      if (next < 0) {
        // For chunks, keep the possible beginning of the last one; for a head, all of it.
        this.#kept = data.subarray(this.#inside ? Math.max(at, data.length - LAST_CHUNK.length + 1) : at);
        break;
      }
      at = next;
      if (!this.#inside) {
        requests++;
        this.#closing = this.#parsed.close;
      }
    }
    // A head without an end is not a request: it is not kept forever.
    if (this.#kept.length > MAX_HEAD && !this.#inside) return { answer: null, close: true };
    if (requests === 0) return { answer: null, close: this.#closing };
    const last = this.#closing ? this.#lastAnswer : this.#answer;
    const answer = requests === 1 ? last : Buffer.concat([...Array<Buffer>(requests - 1).fill(this.#answer), last]);
    return { answer, close: this.#closing };
  }

  get #inside(): boolean {
    return this.#body > 0 || this.#inChunks;
  }

  #throughHead(data: Buffer, from: number): number {
    const end = data.indexOf(END, from);
    if (end < 0) return -1;
    const head = data.subarray(from, end + END.length);
    if (!head.equals(this.#last)) {
      this.#last = Buffer.from(head);
      this.#parsed = parse(head);
    }
    this.#body = this.#parsed.bodyBytes;
    this.#inChunks = this.#parsed.chunked;
    return end + END.length;
  }

  #throughBody(data: Buffer, from: number): number {
    if (this.#inChunks) {
      const end = data.indexOf(LAST_CHUNK, from);
      if (end < 0) return -1;
      this.#inChunks = false;
      return end + LAST_CHUNK.length;
    }
    const taken = Math.min(this.#body, data.length - from);
    this.#body -= taken;
    return from + taken;
  }
}
