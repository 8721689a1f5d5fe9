// A call whose answer is a stream of messages without an end: opened on each connection that there comes to be, and again where it ends.
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { constants } from 'node:http2';
import { ProtobufError } from '../../protobuf/reader.js';
import type { LookupFailure } from '../counts.js';
import type { Channel, ChannelUser } from './channel.js';
import { FramingError, frame, MessageReader } from './framing.js';
import { Retry } from './retry.js';

/** Statuses of gRPC with which a server says that it knows nothing of what it was asked for. */
const UNKNOWN_STATUSES: ReadonlySet<number> = new Set([3, 5, 12]);
const NO_STATUS = -1;

export interface SubscriptionOptions {
  /** The method, `/package.Service/Method`. */
  readonly method: string;
  readonly request: Uint8Array;
  /** What it asks for, for the log. */
  readonly subject: string;
  readonly maxMessageBytes: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
}

export interface SubscriptionEvents {
  /** A new stream begins: what it says replaces what was said before. */
  opened(): void;
  /** May throw a ProtobufError, which ends the stream. */
  message(octets: Buffer): void;
  /** The server knows nothing of it. */
  unknown(): void;
}

export class Subscription implements ChannelUser {
  readonly #retry: Retry;
  #stream: ClientHttp2Stream | null = null;
  #again: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(
    private readonly channel: Channel,
    private readonly options: SubscriptionOptions,
    private readonly events: SubscriptionEvents,
  ) {
    this.#retry = new Retry(options.minBackoffMs, options.maxBackoffMs, channel.deps.random);
    channel.join(this);
  }

  stop(): void {
    this.#stopped = true;
    this.channel.leave(this);
    this.#clear();
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  connected(session: ClientHttp2Session): void {
    this.#clear();
    this.#open(session);
  }

  #clear(): void {
    if (this.#again !== null) clearTimeout(this.#again);
    this.#again = null;
  }

  #open(session: ClientHttp2Session): void {
    const { method, request, maxMessageBytes } = this.options;
    const stream = session.request({
      ':method': 'POST',
      ':path': method,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream = stream;
    const began = performance.now();
    const { counts } = this.channel.deps;
    counts.streams++;
    let status = NO_STATUS;
    let told = false;
    /** Ends the stream, with the first reason that there is. */
    const fail = (reason: LookupFailure, why: string): void => {
      if (told || this.#stopped) return;
      told = true;
      const { subject } = this.options;
      this.channel.failed(reason, 'an answer of the destination service is of no use', { about: subject, reason: why });
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const reader = new MessageReader(maxMessageBytes, (octets) => {
      if (this.#stopped || told) return;
      counts.updates++;
      this.events.message(octets);
    });
    const ends = (headers: IncomingHttpHeaders): void => {
      if (headers['grpc-status'] !== undefined) status = Number(headers['grpc-status']);
    };
    stream.on('response', (headers) => {
      this.channel.heard();
      ends(headers);
      const problem = answerProblem(headers);
      if (problem !== '') fail('garbage', problem);
      else if (status === NO_STATUS) this.events.opened();
    });
    stream.on('trailers', ends);
    stream.on('data', (octets: Buffer) => {
      this.channel.heard();
      if (told) return;
      try {
        reader.push(octets);
      } catch (error) {
        if (error instanceof FramingError) fail(error.reason, error.message);
        else if (error instanceof ProtobufError) fail('garbage', error.message);
        else throw error;
      }
    });
    stream.on('error', (error: Error) => {
      if (!session.destroyed) fail('broken', error.message);
    });
    stream.once('close', () => {
      counts.streams--;
      if (this.#stream === stream) this.#stream = null;
      if (this.#stopped) return;
      const lived = performance.now() - began;
      if (!told && UNKNOWN_STATUSES.has(status)) this.#unknown();
      else {
        if (status > 0) fail('status', `gRPC status ${status}`);
        this.#later(session, this.#retry.next(lived));
      }
    });
    stream.end(frame(request));
  }

  /** What is not there may come to be. */
  #unknown(): void {
    const { session } = this.channel;
    this.events.unknown();
    if (session !== null) this.#later(session, this.options.maxBackoffMs * (0.5 + this.channel.deps.random() / 2));
  }

  #later(session: ClientHttp2Session, delayMs: number): void {
    // Of a connection that is lost, the next one asks.
    if (this.#stopped || session.destroyed || session.closed || this.channel.session !== session) return;
    this.#clear();
    this.#again = setTimeout(() => {
      this.#again = null;
      if (this.channel.session === session) this.#open(session);
    }, delayMs);
  }
}

function answerProblem(headers: IncomingHttpHeaders & { readonly ':status'?: number | undefined }): string {
  if (headers[':status'] !== 200) return `HTTP status ${headers[':status']}`;
  const type = headers['content-type'] ?? '';
  return type.startsWith('application/grpc') ? '' : `content type ${JSON.stringify(type.slice(0, 100))}`;
}
