// A call with an endless stream of answers: opened on each new connection, and reopened when it ends.
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { constants } from 'node:http2';
import { FramingError, frame, MessageReader } from '../../grpc/framing.js';
import { headProblem, requestHead, type Status, statusOf } from '../../grpc/status.js';
import { ProtobufError } from '../../protobuf/reader.js';
import type { LookupFailure } from '../counts.js';
import type { Channel, ChannelUser } from './channel.js';
import { Retry } from './retry.js';

/** gRPC statuses that mean the server knows nothing of the request. */
const UNKNOWN_STATUSES: ReadonlySet<string> = new Set(['INVALID_ARGUMENT', 'NOT_FOUND', 'UNIMPLEMENTED']);

/** Maximum length of a server's text in messages. */
const MAX_TEXT_LENGTH = 200;

export interface SubscriptionOptions {
  /** The method, `/package.Service/Method`. */
  readonly method: string;
  readonly request: Uint8Array;
  /** Its request, for the log. */
  readonly subject: string;
  readonly maxMessageBytes: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
}

export interface SubscriptionEvents {
  /** A new stream begins: it replaces earlier content. */
  opened(): void;
  /** It has ended, possibly incomplete. */
  closed(): void;
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
    const stream = begin(session, method);
    if (stream === null) return;
    this.#stream = stream;
    const began = performance.now();
    const { counts } = this.channel.deps;
    counts.streams++;
    let status: Status | null = null;
    let told = false;
    /** Ends the stream, with the first reason. */
    const fail = (reason: LookupFailure, why: string): void => {
      if (told || this.#stopped) return;
      told = true;
      const { subject } = this.options;
      this.channel.failed(reason, 'an answer of the destination service cannot be used', {
        about: subject,
        reason: why,
      });
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const reader = new MessageReader(maxMessageBytes, (octets) => {
      if (this.#stopped || told) return;
      counts.updates++;
      this.events.message(octets);
    });
    stream.on('response', (headers) => {
      this.channel.heard();
      status = statusOf(headers);
      const problem = status === null ? headProblem(headers) : '';
      if (problem !== '') fail('garbage', problem);
      else if (status === null) this.events.opened();
    });
    stream.on('trailers', (fields) => {
      status ??= statusOf(fields);
    });
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
      this.events.closed();
      const lived = performance.now() - began;
      if (!told && status !== null && UNKNOWN_STATUSES.has(status.name)) this.#unknown(status);
      else {
        if (status !== null && status.name !== 'OK')
          fail('status', `${status.name} ${status.message.slice(0, MAX_TEXT_LENGTH)}`.trim());
        // A lost connection ends all its streams: that is reported once.
        else if (!session.destroyed && reader.pending) fail('broken', 'the stream ended within a message');
        else if (!session.destroyed && status === null) fail('broken', 'the stream ended without a status');
        this.#later(session, this.#retry.next(lived));
      }
    });
    stream.end(frame(request));
  }

  /** It may come to exist later. */
  #unknown(status: Status): void {
    const { session } = this.channel;
    this.events.unknown();
    // If the server lacks the method, the next connection may reach one that has it.
    if (session !== null && status.name !== 'UNIMPLEMENTED')
      this.#later(session, this.options.maxBackoffMs * (0.5 + this.channel.deps.random() / 2));
  }

  #later(session: ClientHttp2Session, delayMs: number): void {
    // If the connection is lost, the next one asks.
    if (this.#stopped || session.destroyed || session.closed || this.channel.session !== session) return;
    this.#clear();
    this.#again = setTimeout(() => {
      this.#again = null;
      if (this.channel.session === session) this.#open(session);
    }, delayMs);
  }
}

/** Opens a stream; null on a connection that accepts none, which is then closed: the next one asks. */
function begin(session: ClientHttp2Session, method: string): ClientHttp2Stream | null {
  if (session.destroyed) return null;
  try {
    return session.request(requestHead(method));
  } catch {
    // It is closing, or out of stream ids.
    session.destroy();
    return null;
  }
}
