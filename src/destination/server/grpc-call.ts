// A gRPC call answered with a stream of messages, on Node's HTTP/2. The official library would encode each message for each stream and
// queue what a slow reader does not take. Here messages are framed once and shared by all streams that get them, and the caller learns at
// once that a reader is slow. It also takes half the memory (gRPC over HTTP/2: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2';

export const STATUS = {
  ok: 0,
  invalidArgument: 3,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;
export type Status = (typeof STATUS)[keyof typeof STATUS];

/** Why a call fails, as its caller is told. */
export class CallProblem extends Error {
  constructor(
    readonly status: Status,
    message: string,
  ) {
    super(message);
  }
}

/** A flag, and the message's length. */
const PREFIX_BYTES = 5;
const PERCENT = 0x25;
const CONTENT_TYPE = 'application/grpc';
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
/** Node's maximum. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Framed messages, concatenated. They are kept for long, so they are not slices of a shared buffer. */
export function framed(messages: readonly Uint8Array[]): Buffer {
  const octets = Buffer.allocUnsafeSlow(messages.reduce((sum, { length }) => sum + PREFIX_BYTES + length, 0));
  let at = 0;
  for (const message of messages) {
    octets[at] = 0;
    octets.writeUInt32BE(message.length, at + 1);
    octets.set(message, at + PREFIX_BYTES);
    at += PREFIX_BYTES + message.length;
  }
  return octets;
}

/** The caller's timeout, ms; null: none, or not intelligible. */
export function timeoutOf(headers: IncomingHttpHeaders): number | null {
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(headers['grpc-timeout'] ?? ''));
  return match === null ? null : Math.min(Math.ceil(Number(match[1]) * UNITS[match[2]]), MAX_TIMEOUT_MS);
}

/** HTTP status for requests that are not gRPC; null: it is gRPC. */
export function httpProblem(headers: IncomingHttpHeaders): number | null {
  if (headers[':method'] !== 'POST') return 405;
  const type = String(headers['content-type'] ?? '').toLowerCase();
  return type === CONTENT_TYPE || type.startsWith(`${CONTENT_TYPE}+`) || type.startsWith(`${CONTENT_TYPE};`)
    ? null
    : 415;
}

/** Reads the single message of a caller. */
export class RequestReader {
  #octets: Buffer = Buffer.alloc(0);

  constructor(private readonly maxBytes: number) {}

  /** The message once complete. Throws a CallProblem. */
  take(piece: Buffer): Buffer | null {
    this.#octets = this.#octets.length === 0 ? piece : Buffer.concat([this.#octets, piece]);
    if (this.#octets.length < PREFIX_BYTES) return null;
    if (this.#octets[0] !== 0)
      throw new CallProblem(STATUS.unimplemented, 'the request is compressed; send it uncompressed');
    const length = this.#octets.readUInt32BE(1);
    if (length > this.maxBytes)
      throw new CallProblem(STATUS.resourceExhausted, `the request has ${length} octets; ${this.maxBytes} are allowed`);
    const end = PREFIX_BYTES + length;
    if (this.#octets.length > end)
      throw new CallProblem(STATUS.unimplemented, 'there is more than one request in the call');
    return this.#octets.length === end ? this.#octets.subarray(PREFIX_BYTES) : null;
  }
}

/** As in the protocol: everything except printable ASCII is percent-encoded. */
const encodedMessage = (message: string): string =>
  [...Buffer.from(message)]
    .map((octet) =>
      octet < 0x20 || octet > 0x7e || octet === PERCENT
        ? `%${octet.toString(16).toUpperCase().padStart(2, '0')}`
        : String.fromCharCode(octet),
    )
    .join('');

const trailersOf = (status: Status, message: string): Record<string, string> => ({
  'grpc-status': String(status),
  ...(message === '' ? {} : { 'grpc-message': encodedMessage(message) }),
});

const CALL = Symbol('call');

/** There may be tens of thousands of streams: they share their listeners, which find the call through the stream. */
type CalledStream = ServerHttp2Stream & { [CALL]?: GrpcCall };

const ignored = (): void => undefined;

function closed(this: CalledStream): void {
  this[CALL]?.closed();
}

function wantsTrailers(this: CalledStream): void {
  this[CALL]?.sendTrailers();
}

export class GrpcCall {
  #trailers: Record<string, string> | null = null;

  constructor(readonly stream: ServerHttp2Stream) {
    const called: CalledStream = stream;
    called[CALL] = this;
    // Errors on a stream concern only its caller.
    stream.on('error', ignored).on('close', closed);
  }

  get open(): boolean {
    return !(this.stream.destroyed || this.stream.closed || this.stream.writableEnded);
  }

  /** Its stream is gone. */
  closed(): void {}

  /** false: the data has not been sent yet; `drained` is called when it has. */
  write(octets: Buffer): boolean {
    this.#respond();
    return this.stream.write(octets);
  }

  onDrain(drained: () => void): void {
    this.stream.once('drain', drained);
  }

  /** Confirms the call to its caller. */
  accept(): void {
    this.#respond();
  }

  end(status: Status, message: string): void {
    if (!this.open) return;
    if (!this.stream.headersSent) {
      this.stream.respond(
        { ':status': 200, 'content-type': CONTENT_TYPE, ...trailersOf(status, message) },
        { endStream: true },
      );
      this.#letGo();
      return;
    }
    this.#trailers = trailersOf(status, message);
    this.stream.end();
  }

  /** Its caller should ask another replica. */
  leave(): void {
    this.end(STATUS.unavailable, 'this controller is shutting down; ask again');
  }

  /** Ends it without a status: data on its way may be lost. */
  cut(): void {
    this.stream.close(constants.NGHTTP2_CANCEL);
  }

  sendTrailers(): void {
    if (this.#trailers !== null) this.stream.sendTrailers(this.#trailers);
    this.#letGo();
  }

  #respond(): void {
    if (this.stream.headersSent || !this.open) return;
    this.stream.respond({ ':status': 200, 'content-type': CONTENT_TYPE }, { waitForTrailers: true });
    this.stream.on('wantTrailers', wantsTrailers);
  }

  /** A caller that has not finished its request is told that nobody listens (RFC 9113 section 8.1). */
  #letGo(): void {
    this.stream.resume();
    if (!this.stream.readableEnded) this.stream.close(constants.NGHTTP2_NO_ERROR);
  }
}
