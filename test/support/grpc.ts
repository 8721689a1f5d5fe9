// The official gRPC client and server without a protocol compiler: messages are bytes.
import { type EventEmitter, once } from 'node:events';
import type { ServerHttp2Session } from 'node:http2';
import {
  type CallOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  type StatusObject,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';

const same = (bytes: Buffer): Buffer => bytes;
const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
  path: `/peers.Peers/${name}`,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});

const SERVICE: ServiceDefinition = {
  unary: method('Unary', false, false),
  collect: method('Collect', true, false),
  expand: method('Expand', false, true),
  chat: method('Chat', true, true),
};

export type Unary = (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;
export type Collect = (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void;
export type Expand = (call: ServerWritableStream<Buffer, Buffer>) => void;
export type Chat = (call: ServerDuplexStream<Buffer, Buffer>) => void;

export interface Handlers {
  readonly unary: Unary;
  readonly collect: Collect;
  readonly expand: Expand;
  readonly chat: Chat;
}

/**
 * What the server does unless a test says otherwise: `unary` sends the message back, `collect` all messages in one,
 * `expand` every byte of the message as a message of its own, `chat` each message as it comes. All send back the metadata
 * whose keys begin with `x-` at once, and with `-trailing` behind the name at the end.
 */
export const DEFAULT_HANDLERS: Handlers = {
  unary: (call, answer) => {
    call.sendMetadata(returned(call.metadata));
    answer(null, call.request, trailing(call.metadata));
  },
  collect: (call, answer) => {
    const chunks: Buffer[] = [];
    call.sendMetadata(returned(call.metadata));
    call.on('data', (chunk: Buffer) => chunks.push(chunk));
    call.once('end', () => answer(null, Buffer.concat(chunks), trailing(call.metadata)));
  },
  expand: (call) => {
    call.sendMetadata(returned(call.metadata));
    for (const byte of call.request) call.write(Buffer.of(byte));
    call.end(trailing(call.metadata));
  },
  chat: (call) => {
    call.sendMetadata(returned(call.metadata));
    call.on('data', (chunk: Buffer) => call.write(chunk));
    call.once('end', () => call.end(trailing(call.metadata)));
  },
};

function returned(metadata: Metadata, suffix = ''): Metadata {
  const copy = new Metadata();
  for (const key of Object.keys(metadata.getMap())) {
    if (!key.startsWith('x-')) continue;
    const name = key.endsWith('-bin') ? `${key.slice(0, -4)}${suffix}-bin` : `${key}${suffix}`;
    for (const value of metadata.get(key)) copy.add(name, value);
  }
  return copy;
}

const trailing = (metadata: Metadata): Metadata => returned(metadata, '-trailing');

export interface GrpcEndpoint {
  readonly port: number;
  readonly address: string;
  /** Calls that have arrived. */
  readonly calls: number;
  /** Connections that have arrived. */
  readonly connections: number;
  /** Ends everything at once. */
  close(): void;
}

const ANY_SIZE = { 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 } as const;

export async function grpcEndpoint(
  handlers: Partial<Handlers> = {},
  options: Readonly<Record<string, number | string>> = {},
  at = 0,
): Promise<GrpcEndpoint> {
  const server = new Server({ ...ANY_SIZE, ...options });
  const { unary, collect, expand, chat } = { ...DEFAULT_HANDLERS, ...handlers };
  let calls = 0;
  server.addService(SERVICE, {
    unary: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      calls++;
      unary(call, answer);
    },
    collect: (call: ServerReadableStream<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => {
      calls++;
      collect(call, answer);
    },
    expand: (call: ServerWritableStream<Buffer, Buffer>) => {
      calls++;
      expand(call);
    },
    chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
      calls++;
      chat(call);
    },
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${at}`, ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const sessions = (server as unknown as { sessions: Map<ServerHttp2Session, unknown> }).sessions;
  let connections = 0;
  const add = sessions.set.bind(sessions);
  sessions.set = (session, info) => {
    connections++;
    return add(session, info);
  };
  return {
    port,
    address: `127.0.0.1:${port}`,
    get calls() {
      return calls;
    },
    get connections() {
      return connections;
    },
    close: () => server.forceShutdown(),
  };
}

/** How a call ended, and what came with it. */
export interface Outcome {
  readonly messages: readonly Buffer[];
  readonly status: StatusObject;
  readonly metadata: Metadata;
}

type AnyCall =
  | ClientUnaryCall
  | ClientReadableStream<Buffer>
  | ClientWritableStream<Buffer>
  | ClientDuplexStream<Buffer, Buffer>;

export class GrpcClient {
  readonly client: Client;

  constructor(port: number, options: Readonly<Record<string, number | string>> = {}) {
    // A channel of its own, so that one client is one connection.
    const own = { ...ANY_SIZE, 'grpc.use_local_subchannel_pool': 1, ...options };
    this.client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), own);
  }

  /** The call, and how it ends. Never rejects. */
  private outcome(call: AnyCall, messages: Buffer[]): Promise<Outcome> {
    let metadata = new Metadata();
    call.once('metadata', (fields: Metadata) => {
      metadata = fields;
    });
    // Repeated by `status`.
    (call as EventEmitter).on('error', () => undefined);
    return new Promise((resolve) => {
      call.once('status', (object: StatusObject) => {
        // The last message is handed over in the same turn.
        setImmediate(() => resolve({ messages, status: object, metadata }));
      });
    });
  }

  unary(message: Buffer, metadata = new Metadata(), options: CallOptions = {}): Promise<Outcome> {
    return this.startUnary(message, metadata, options).outcome;
  }

  startUnary(
    message: Buffer,
    metadata = new Metadata(),
    options: CallOptions = {},
  ): { call: ClientUnaryCall; outcome: Promise<Outcome> } {
    const messages: Buffer[] = [];
    const done = (_: ServiceError | null, value?: Buffer): void => {
      if (value !== undefined) messages.push(value);
    };
    const call = this.client.makeUnaryRequest('/peers.Peers/Unary', same, same, message, metadata, options, done);
    return { call, outcome: this.outcome(call, messages) };
  }

  collect(
    metadata = new Metadata(),
    options: CallOptions = {},
  ): { call: ClientWritableStream<Buffer>; outcome: Promise<Outcome> } {
    const messages: Buffer[] = [];
    const done = (_: ServiceError | null, value?: Buffer): void => {
      if (value !== undefined) messages.push(value);
    };
    const call = this.client.makeClientStreamRequest('/peers.Peers/Collect', same, same, metadata, options, done);
    return { call, outcome: this.outcome(call, messages) };
  }

  /** With `read` false, nothing is read until the test listens for `data`. */
  expand(
    message: Buffer,
    metadata = new Metadata(),
    options: CallOptions = {},
    read = true,
  ): { call: ClientReadableStream<Buffer>; outcome: Promise<Outcome> } {
    const messages: Buffer[] = [];
    const call = this.client.makeServerStreamRequest('/peers.Peers/Expand', same, same, message, metadata, options);
    if (read) call.on('data', (chunk: Buffer) => messages.push(chunk));
    return { call, outcome: this.outcome(call, messages) };
  }

  chat(
    metadata = new Metadata(),
    options: CallOptions = {},
    read = true,
  ): { call: ClientDuplexStream<Buffer, Buffer>; outcome: Promise<Outcome> } {
    const messages: Buffer[] = [];
    const call = this.client.makeBidiStreamRequest('/peers.Peers/Chat', same, same, metadata, options);
    if (read) call.on('data', (chunk: Buffer) => messages.push(chunk));
    return { call, outcome: this.outcome(call, messages) };
  }

  close(): void {
    this.client.close();
  }
}

/** Writes with respect for backpressure. */
export async function send(
  call: ClientWritableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>,
  message: Buffer,
): Promise<void> {
  if (!call.write(message)) await once(call, 'drain');
}

export const OK = status.OK;
