// A call of gRPC that is answered with a stream of messages, over Node's HTTP/2. The official library would encode each message for each
// stream and keep what a slow reader does not take; here messages come framed, shared by all who get the same, and the caller learns at
// once that a reader is slow. It also costs half the memory (gRPC over HTTP/2: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
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

/** Why a call is not answered, as its caller is told. */
export class CallProblem extends Error {
  constructor(
    readonly status: Status,
    message: string,
  ) {
    super(message);
  }
}

/** A flag, and the length of what follows. */
const PREFIX_BYTES = 5;
const PERCENT = 0x25;
const CONTENT_TYPE = 'application/grpc';
const UNITS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
/** What Node can wait. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Messages as they go out, one after the other. They are kept for long: not as parts of a buffer that others share. */
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

/** Ms that the caller waits; null: without end, or it says nothing that could be understood. */
export function timeoutOf(headers: IncomingHttpHeaders): number | null {
  const match = /^(\d{1,8})([HMSmun])$/.exec(String(headers['grpc-timeout'] ?? ''));
  return match === null ? null : Math.min(Math.ceil(Number(match[1]) * UNITS[match[2]]), MAX_TIMEOUT_MS);
}

/** The status of HTTP for what is no gRPC; null: it is. */
export function httpProblem(headers: IncomingHttpHeaders): number | null {
  if (headers[':method'] !== 'POST') return 405;
  const type = String(headers['content-type'] ?? '').toLowerCase();
  return type === CONTENT_TYPE || type.startsWith(`${CONTENT_TYPE}+`) || type.startsWith(`${CONTENT_TYPE};`)
    ? null
    : 415;
}

/** The one message that a caller sends. */
export class RequestReader {
  #octets: Buffer = Buffer.alloc(0);

  constructor(private readonly maxBytes: number) {}

  /** The message once it is there. Throws a CallProblem. */
  take(piece: Buffer): Buffer | null {
    this.#octets = this.#octets.length === 0 ? piece : Buffer.concat([this.#octets, piece]);
    if (this.#octets.length < PREFIX_BYTES) return null;
    if (this.#octets[0] !== 0)
      throw new CallProblem(STATUS.unimplemented, 'the request is compressed; send it as it is');
    const length = this.#octets.readUInt32BE(1);
    if (length > this.maxBytes)
      throw new CallProblem(STATUS.resourceExhausted, `the request has ${length} octets; ${this.maxBytes} are allowed`);
    const end = PREFIX_BYTES + length;
    if (this.#octets.length > end)
      throw new CallProblem(STATUS.unimplemented, 'there is more than one request in the call');
    return this.#octets.length === end ? this.#octets.subarray(PREFIX_BYTES) : null;
  }
}

/** As the protocol has it: what is no printable ASCII is percent-encoded. */
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

/** There may be tens of thousands of streams: what listens to them is the same for all, and finds the call by its stream. */
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
    // What goes wrong on a stream is its caller's own business.
    stream.on('error', ignored).on('close', closed);
  }

  get open(): boolean {
    return !(this.stream.destroyed || this.stream.closed || this.stream.writableEnded);
  }

  /** Its stream is gone. */
  closed(): void {}

  /** false: what was written has not gone out; `drained` is called when it has. */
  write(octets: Buffer): boolean {
    this.#respond();
    return this.stream.write(octets);
  }

  onDrain(drained: () => void): void {
    this.stream.once('drain', drained);
  }

  /** Tells the caller that it is heard. */
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

  /** Its caller is to ask elsewhere. */
  leave(): void {
    this.end(STATUS.unavailable, 'this controller goes; ask again');
  }

  /** Ends it without a word: what is on its way may not arrive. */
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

  /** A caller that has not said all is told that nobody listens (RFC 9113 section 8.1). */
  #letGo(): void {
    this.stream.resume();
    if (!this.stream.readableEnded) this.stream.close(constants.NGHTTP2_NO_ERROR);
  }
}
