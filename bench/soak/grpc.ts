// The gRPC service of the soak, by the official implementation: its endpoints, and its clients' channels.

import { setTimeout as delay } from 'node:timers/promises';
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { PatternCheck } from '../pattern.js';
import type { Random } from '../random.js';
import type { Listener } from './listeners.js';
import { writePattern } from './upstreams.js';

/** Channels to each listener. */
const CHANNELS = 2;
const ANY_SIZE = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 } as const;

export const same = (message: Buffer): Buffer => message;

const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/soak.Soak/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

/** All messages are of the pattern. */
export const METHODS = {
  /** Sends the message back. */
  unary: method('Unary', false, false),
  /** Answers how many octets came (UInt32LE), DATA_LOSS where they are wrong. */
  collect: method('Collect', true, false),
  /** Sends as many octets as the message says, in pieces of a size that it says as well (UInt32LE each). */
  expand: method('Expand', false, true),
  /** Sends back each message as it comes. */
  chat: method('Chat', true, true),
} as const;

export interface GrpcFaults {
  /** At most so long before it answers, ms. */
  readonly slow?: number;
  /** Share of calls that end with ABORTED. */
  readonly fails?: number;
  /** Connections are left in order at this age, ms. */
  readonly maxAge?: number;
  /** What is open on them is cut off so much later, ms. */
  readonly grace?: number;
  /** Dies about every so often, and comes back, ms. */
  readonly dies?: number;
}

/** What a call is asked to send back behind its answer. */
export const LARGE = 'x-large';
function large(asked: Metadata): Metadata {
  const trailers = new Metadata();
  for (const value of asked.get(LARGE)) trailers.add(LARGE, value);
  return trailers;
}

const FAILED = { code: status.ABORTED, details: 'on purpose' };

export class GrpcUpstream {
  #server = new Server();
  #over = false;

  constructor(
    private readonly port: number,
    private readonly random: Random,
    private readonly faults: GrpcFaults,
  ) {}

  async start(): Promise<void> {
    await this.#listen();
    void this.#dying();
  }

  close(): void {
    this.#over = true;
    this.#server.forceShutdown();
  }

  #listen(): Promise<void> {
    const { maxAge, grace } = this.faults;
    const server = new Server({
      ...ANY_SIZE,
      ...(maxAge === undefined ? {} : { 'grpc.max_connection_age_ms': maxAge }),
      ...(grace === undefined ? {} : { 'grpc.max_connection_age_grace_ms': grace }),
    });
    server.addService(METHODS, {
      unary: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        this.#later(() => (this.#fails() ? answer(FAILED) : answer(null, call.request, large(call.metadata)))),
      collect: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
        const check = new PatternCheck();
        let wrong = '';
        call.on('error', () => undefined);
        call.on('data', (message: Buffer) => {
          try {
            check.feed(message);
          } catch (error) {
            wrong = String(error);
          }
        });
        call.once('end', () => {
          const count = Buffer.alloc(4);
          count.writeUInt32LE(check.received);
          if (wrong !== '') answer({ code: status.DATA_LOSS, details: wrong });
          else this.#later(() => (this.#fails() ? answer(FAILED) : answer(null, count)));
        });
      },
      expand: (call: ServerWritableStream<Buffer, Buffer>) => {
        call.on('error', () => undefined);
        const [size, piece] = [call.request.readUInt32LE(0), call.request.readUInt32LE(4)];
        this.#later(() =>
          this.#fails() ? call.emit('error', FAILED) : writePattern(call, size, piece, () => call.end()),
        );
      },
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on('error', () => undefined);
        if (this.#fails()) return void call.emit('error', FAILED);
        call.on('data', (message: Buffer) => call.write(message));
        call.once('end', () => call.end());
      },
    });
    this.#server = server;
    return new Promise((resolve, reject) => {
      const bound = (error: Error | null): void => (error === null ? resolve() : reject(error));
      server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), bound);
    });
  }

  #fails(): boolean {
    return this.random.chance(this.faults.fails ?? 0);
  }

  #later(answer: () => void): void {
    const { slow = 0 } = this.faults;
    if (slow === 0) answer();
    else setTimeout(answer, this.random.integer(0, slow));
  }

  async #dying(): Promise<void> {
    const { dies = 0 } = this.faults;
    while (dies > 0) {
      await delay(dies * (0.5 + this.random.next()), undefined, { ref: false });
      if (this.#over) return;
      this.#server.forceShutdown();
      await delay(this.random.integer(50, 1000));
      if (this.#over) return;
      await this.#listen();
    }
  }
}

/** Channels that calls share. */
export class Channels {
  readonly #clients = new Map<string, Client>();

  constructor(
    private readonly ports: Readonly<Record<Listener, number>>,
    private readonly random: Random,
  ) {}

  any(listener: Listener): Client {
    const name = `${listener} ${this.random.integer(1, CHANNELS)}`;
    const known = this.#clients.get(name);
    if (known !== undefined) return known;
    // Connections of its own, not one for all channels of the process. Lost ones are soon made anew.
    const options = { ...ANY_SIZE, 'grpc.use_local_subchannel_pool': 1, 'grpc.max_reconnect_backoff_ms': 1000 };
    const client = new Client(`127.0.0.1:${this.ports[listener]}`, credentials.createInsecure(), options);
    this.#clients.set(name, client);
    return client;
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
  }
}
