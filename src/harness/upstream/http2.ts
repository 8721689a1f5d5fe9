// An HTTP/2 server without sockets, as cheap as Node allows: frames in, the same answer for each request out. It decodes no header blocks,
// because its answers do not depend on them.

const FRAME_HEAD = 9;
const PREFACE = 24;
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const PING = 6;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const END_STREAM = 1;
const ACK = 1;
const END_HEADERS = 4;
const MAX_CONCURRENT_STREAMS = 3;
const INITIAL_WINDOW_SIZE = 4;
const STREAMS = 1000;
const WINDOW = 1 << 20;
const FIRST_WINDOW = 65_535;
const NOTHING: Buffer = Buffer.alloc(0);
/** One frame: the largest that every peer accepts. */
export const MAX_BODY = 16_384;

export interface Http2Response {
  /** Header blocks and body; without trailers the body ends the stream. */
  readonly head: Buffer;
  readonly body: Buffer;
  readonly trailers: Buffer | null;
  /** The body is sent so often, each in a frame; `per-message`: for each gRPC message that arrives. */
  readonly times: number | 'per-message';
}

/** A field whose name is in the static table, or not; never indexed anew. */
function field(name: number | string, value: string): Buffer {
  const octets = Buffer.from(value);
  // RFC 7541, 6.2.2: a prefix of four bits, and all static indices used here are above 15.
  const begin = typeof name === 'number' ? [0x0f, name - 15] : [0, name.length, ...Buffer.from(name)];
  return Buffer.concat([Buffer.from([...begin, octets.length]), octets]);
}

const STATUS_200 = Buffer.from([0x88]);
const CONTENT_LENGTH = 28;
const CONTENT_TYPE = 31;
const DATE = 33;
const SERVER = 54;

export function http2Response(bodyBytes: number): Http2Response {
  const usual = [
    field(SERVER, 'bench'),
    field(DATE, 'Mon, 01 Jan 2024 00:00:00 GMT'),
    field(CONTENT_TYPE, 'text/plain'),
  ];
  const head = Buffer.concat([STATUS_200, ...usual, field(CONTENT_LENGTH, String(bodyBytes))]);
  return { head, body: Buffer.alloc(bodyBytes, '0123456789'), trailers: null, times: 1 };
}

/** One message of so many bytes, or several, and `grpc-status: 0`. */
export function grpcResponse(bodyBytes: number, times: Http2Response['times'] = 1): Http2Response {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bodyBytes, 1);
  return {
    head: Buffer.concat([STATUS_200, field(CONTENT_TYPE, 'application/grpc')]),
    body: Buffer.concat([prefix, Buffer.alloc(bodyBytes)]),
    trailers: field('grpc-status', '0'),
    times,
  };
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function setting(id: number, value: number): Buffer {
  const octets = Buffer.alloc(6);
  octets.writeUInt16BE(id, 0);
  octets.writeUInt32BE(value, 2);
  return octets;
}

function windowUpdate(stream: number, octets: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(octets);
  return frame(WINDOW_UPDATE, 0, stream, payload);
}

/** A server's first bytes. */
const HELLO = Buffer.concat([
  frame(
    SETTINGS,
    0,
    0,
    Buffer.concat([setting(MAX_CONCURRENT_STREAMS, STREAMS), setting(INITIAL_WINDOW_SIZE, WINDOW)]),
  ),
  windowUpdate(0, WINDOW),
]);

/** Frames of an answer, copied for each stream with its number. */
class Template {
  readonly #octets: Buffer;
  readonly #streamsAt: number[] = [];

  constructor(
    frames: readonly Buffer[],
    /** Bytes that count for flow control. */
    readonly counted: number,
  ) {
    let at = 0;
    for (const { length } of frames) {
      this.#streamsAt.push(at + 5);
      at += length;
    }
    this.#octets = Buffer.concat(frames);
  }

  of(stream: number): Buffer {
    const copy = Buffer.from(this.#octets);
    for (const at of this.#streamsAt) copy.writeUInt32BE(stream, at);
    return copy;
  }
}

/** What is sent for a stream: when it begins, for each message, and when it ends. */
interface Templates {
  readonly begin: Template | null;
  readonly message: Template | null;
  readonly end: Template;
}

function templatesOf({ head, body, trailers, times }: Http2Response): Templates {
  if (body.length > MAX_BODY) throw new Error(`a body of ${body.length} octets is more than a frame takes`);
  const first = frame(HEADERS, END_HEADERS, 0, head);
  const last = trailers === null ? [] : [frame(HEADERS, END_HEADERS | END_STREAM, 0, trailers)];
  const data = frame(DATA, trailers === null ? END_STREAM : 0, 0, body);
  if (times === 'per-message')
    return { begin: new Template([first], 0), message: new Template([data], body.length), end: new Template(last, 0) };
  const all = [first, ...Array.from({ length: times }, () => data), ...last];
  return { begin: null, message: null, end: new Template(all, body.length * times) };
}

/** Where a stream is in its messages. */
interface Messages {
  prefix: number;
  left: number;
}

const MESSAGE_PREFIX = 5;

/** How many messages end in `payload`. */
function endsOf(messages: Messages, payload: Buffer): number {
  let count = 0;
  for (let at = 0; at < payload.length; ) {
    if (messages.prefix < MESSAGE_PREFIX) {
      if (messages.prefix++ > 0) messages.left = messages.left * 256 + payload[at];
      at++;
      if (messages.prefix < MESSAGE_PREFIX) continue;
    }
    const some = Math.min(messages.left, payload.length - at);
    messages.left -= some;
    at += some;
    if (messages.left > 0) break;
    messages.prefix = 0;
    count++;
  }
  return count;
}

export class Http2Responder {
  readonly #templates: Templates;
  /** By stream, if each message is answered. */
  readonly #messages = new Map<number, Messages>();
  #kept = NOTHING;
  #begun = false;
  /** The client's remaining window for all streams together. A body always fits into its stream's own window. */
  #window = FIRST_WINDOW;
  /** Output that waits for the window. */
  readonly #waiting: { readonly template: Template; readonly stream: number }[] = [];
  /** The stream whose header block continues in CONTINUATION, if it ends with that; else 0. */
  #ending = 0;

  constructor(answer: Http2Response) {
    this.#templates = templatesOf(answer);
  }

  /** Returns the output for it. */
  take(chunk: Buffer): Buffer {
    let data = this.#kept.length === 0 ? chunk : Buffer.concat([this.#kept, chunk]);
    const out: Buffer[] = [];
    if (!this.#begun) {
      this.#kept = data;
      if (data.length < PREFACE) return NOTHING;
      this.#begun = true;
      data = data.subarray(PREFACE);
      out.push(HELLO);
    }
    let at = 0;
    while (data.length - at >= FRAME_HEAD) {
      const length = data.readUIntBE(at, 3);
      if (data.length - at < FRAME_HEAD + length) break;
      const stream = data.readUInt32BE(at + 5) & 0x7fff_ffff;
      const payload = data.subarray(at + FRAME_HEAD, at + FRAME_HEAD + length);
      this.#frame(data[at + 3], data[at + 4], stream, payload, out);
      at += FRAME_HEAD + length;
    }
    this.#kept = data.subarray(at);
    this.#answer(out);
    return out.length === 1 ? out[0] : Buffer.concat(out);
  }

  #frame(type: number, flags: number, stream: number, payload: Buffer, out: Buffer[]): void {
    const ends = (flags & END_STREAM) !== 0;
    if (type === HEADERS) {
      this.#begins(stream);
      if (ends && (flags & END_HEADERS) !== 0) this.#ends(stream);
      else if (ends) this.#ending = stream;
    } else if (type === CONTINUATION) {
      if ((flags & END_HEADERS) !== 0 && this.#ending === stream) {
        this.#ends(stream);
        this.#ending = 0;
      }
    } else if (type === DATA) {
      if (payload.length > 0) out.push(windowUpdate(0, payload.length));
      if (payload.length > 0 && !ends) out.push(windowUpdate(stream, payload.length));
      this.#came(stream, payload);
      if (ends) this.#ends(stream);
    } else if (type === RST_STREAM) {
      this.#messages.delete(stream);
    } else if (type === SETTINGS) {
      if ((flags & ACK) === 0) out.push(frame(SETTINGS, ACK, 0, NOTHING));
    } else if (type === PING) {
      if ((flags & ACK) === 0) out.push(frame(PING, ACK, 0, payload));
    } else if (type === WINDOW_UPDATE && stream === 0) {
      this.#window += payload.readUInt32BE(0);
    }
  }

  #begins(stream: number): void {
    const { begin } = this.#templates;
    if (begin === null || this.#messages.has(stream)) return;
    this.#messages.set(stream, { prefix: 0, left: 0 });
    this.#waiting.push({ template: begin, stream });
  }

  #came(stream: number, payload: Buffer): void {
    const messages = this.#messages.get(stream);
    const { message } = this.#templates;
    if (messages === undefined || message === null) return;
    for (let left = endsOf(messages, payload); left > 0; left--) this.#waiting.push({ template: message, stream });
  }

  #ends(stream: number): void {
    this.#messages.delete(stream);
    this.#waiting.push({ template: this.#templates.end, stream });
  }

  #answer(out: Buffer[]): void {
    let answered = 0;
    for (; answered < this.#waiting.length; answered++) {
      const { template, stream } = this.#waiting[answered];
      if (this.#window < template.counted) break;
      this.#window -= template.counted;
      out.push(template.of(stream));
    }
    this.#waiting.splice(0, answered);
  }
}
