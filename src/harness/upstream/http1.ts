// An HTTP/1.1 server without sockets, as cheap as Node allows: octets in, the same answer for each request out.

export interface Answered {
  /** What goes out; null: nothing yet. */
  readonly answer: Buffer | null;
  /** Whether the connection ends behind it. */
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
/** More than that is no request of ours. */
const MOST_HEAD = 65_536;

/** The answer: the size of a usual one, because proxies pay for it. */
export function http1Answer(bodyBytes: number): Buffer {
  const body = Buffer.alloc(bodyBytes, '0123456789');
  const head = `HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: ${bodyBytes}\r\n\r\n`;
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

export class Http1Answers {
  readonly #answer: Buffer;
  #kept = NOTHING;
  /** Of a body, still to come. */
  #body = 0;
  #inChunks = false;
  #closing = false;
  // Requests on a connection are much the same: each head is compared with the one before.
  #last = NOTHING;
  #parsed: Head = { bodyBytes: 0, chunked: false, close: false };

  constructor(answer: Buffer) {
    this.#answer = answer;
  }

  take(chunk: Buffer): Answered {
    const data = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    this.#kept = NOTHING;
    let at = 0;
    let requests = 0;
    while (at < data.length && !this.#closing) {
      const next = this.#inside ? this.#throughBody(data, at) : this.#throughHead(data, at);
      if (next < 0) {
        // Of chunks, what the last one may have begun in; of a head, all of it.
        this.#kept = data.subarray(this.#inside ? Math.max(at, data.length - LAST_CHUNK.length + 1) : at);
        break;
      }
      at = next;
      if (!this.#inside) {
        requests++;
        this.#closing = this.#parsed.close;
      }
    }
    // A head that does not end is no request: it is not kept for ever.
    if (this.#kept.length > MOST_HEAD && !this.#inside) return { answer: null, close: true };
    const answers = requests === 1 ? this.#answer : Buffer.concat(Array<Buffer>(requests).fill(this.#answer));
    return { answer: requests === 0 ? null : answers, close: this.#closing };
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
