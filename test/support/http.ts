// HTTP/1 by hand, for tests that must see and send every byte: a raw client, a scripted upstream server, and a plain reader of
// messages that shares no code with the codec under test.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { eventually, type Sluice } from './sluice.js';
import { Waiting } from './waiting.js';

const HOST = '127.0.0.1';
const LARGE_BYTES = 1024 * 1024;
/** Long: large bodies and limits of some seconds are waited for. */
const TIMEOUT_MS = 120_000;

export interface Message {
  /** Request line or status line. */
  readonly start: string;
  /** 0 for a request. */
  readonly status: number;
  readonly method: string;
  readonly target: string;
  /** In order, names as sent. */
  readonly fields: readonly (readonly [string, string])[];
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** How the body's end was found. */
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** Bytes of the message. */
  readonly length: number;
  /** The value of a field; null where there is none. Fails the test where there is more than one. */
  field(name: string): string | null;
}

export interface ReadOptions {
  /** Method of the request that a response answers. */
  readonly method?: string;
  /** The stream has ended. */
  readonly ended?: boolean;
}

function fieldsOf(lines: readonly string[]): [string, string][] {
  return lines.map((line) => {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`no field line: ${JSON.stringify(line)}`);
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
}

/** Reads one message from the beginning of `bytes`; null where more is needed. Throws where it makes no sense. */
export function readMessage(bytes: Buffer, { method = 'GET', ended = false }: ReadOptions = {}): Message | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd < 0) return null;
  const [start = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const fields = fieldsOf(lines);
  const all = (name: string): string[] =>
    fields.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
  const one = (name: string): string | null => {
    const values = all(name.toLowerCase());
    if (values.length > 1) throw new Error(`${values.length} fields ${name} in ${start}`);
    return values[0] ?? null;
  };
  const [first = '', second = ''] = start.split(' ');
  const status = first.startsWith('HTTP/') ? Number(second) : 0;
  const at = headEnd + 4;
  const message = (
    framing: Message['framing'],
    body: Buffer,
    length: number,
    trailers: readonly (readonly [string, string])[] = [],
  ): Message => ({
    start,
    status,
    method: status === 0 ? first : '',
    target: status === 0 ? second : '',
    fields,
    body,
    trailers,
    framing,
    length,
    field: one,
  });
  const bodiless =
    status !== 0 &&
    (status < 200 || status === 204 || status === 304 || method === 'HEAD' || (method === 'CONNECT' && status < 300));
  if (bodiless) return message('none', Buffer.alloc(0), at);
  if (one('transfer-encoding') !== null) {
    if (one('content-length') !== null) throw new Error(`two framings in ${start}`);
    const chunks: Buffer[] = [];
    for (let p = at; ; ) {
      const lineEnd = bytes.indexOf('\r\n', p);
      if (lineEnd < 0) return null;
      const line = bytes.subarray(p, lineEnd).toString('latin1');
      if (!/^[0-9a-fA-F]+$/.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      p = lineEnd + 2;
      if (size === 0) {
        if (bytes.length < p + 2) return null;
        if (bytes.subarray(p, p + 2).toString('latin1') === '\r\n') {
          return message('chunked', Buffer.concat(chunks), p + 2);
        }
        const end = bytes.indexOf('\r\n\r\n', p);
        if (end < 0) return null;
        const trailers = fieldsOf(bytes.subarray(p, end).toString('latin1').split('\r\n'));
        return message('chunked', Buffer.concat(chunks), end + 4, trailers);
      }
      if (bytes.length < p + size + 2) return null;
      chunks.push(bytes.subarray(p, p + size));
      if (bytes.subarray(p + size, p + size + 2).toString('latin1') !== '\r\n') throw new Error('chunk without end');
      p += size + 2;
    }
  }
  const length = one('content-length');
  if (length !== null) {
    const to = at + Number(length);
    return bytes.length < to ? null : message('length', bytes.subarray(at, to), to);
  }
  if (status === 0) return message('none', Buffer.alloc(0), at);
  return ended ? message('close', bytes.subarray(at), bytes.length) : null;
}

/** One end of a connection: what it received, and how that ended. */
export class Wire {
  /** Received and not taken yet. */
  private chunks: Buffer[] = [];
  private size = 0;
  /** How the peer ended the connection; undefined while it is open. */
  end: 'fin' | 'reset' | undefined;
  /** Bytes received, ever. */
  total = 0;
  private readonly waiting = new Waiting();

  constructor(readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.size += chunk.length;
      this.total += chunk.length;
      this.waiting.wake();
    });
    socket.on('end', () => this.finish('fin'));
    socket.on('error', () => this.finish('reset'));
    socket.on('close', () => this.finish('fin'));
  }

  /** Everything received and not taken. */
  get bytes(): Buffer {
    const all = this.chunks.length === 1 && this.chunks[0] !== undefined ? this.chunks[0] : Buffer.concat(this.chunks);
    this.chunks = [all];
    return all;
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  write(data: string | Uint8Array): void {
    this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data);
  }

  /** Writes, and resolves when the kernel has it. */
  sent(data: string | Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.socket.write(typeof data === 'string' ? Buffer.from(data, 'latin1') : data, () => resolve());
    });
  }

  /** Ends this direction (FIN). */
  fin(): void {
    this.socket.end();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Resolves once `look` returns something, which is asked after every event; rejects when the connection ends before. */
  async until<T>(look: () => T | null | undefined | false, what: string): Promise<T> {
    let found: T | null | undefined | false;
    const received = (): string => `received ${JSON.stringify(this.text.slice(0, 400))}`;
    await this.waiting.until(
      () => {
        found = look();
        if (found !== null && found !== undefined && found !== false) return true;
        if (this.end !== undefined) throw new Error(`${this.end} before ${what}; ${received()}`);
        return false;
      },
      () => `${what} (${received()})`,
      TIMEOUT_MS,
    );
    return found as T;
  }

  /** The next message. */
  async message(options: ReadOptions = {}): Promise<Message> {
    let wanted = 0;
    const message = await this.until(() => {
      // A large body is looked at when it can be complete, not after every segment.
      const small = this.size < LARGE_BYTES || this.end !== undefined;
      if (!small && (wanted === 0 ? !this.endsInBlankLine : this.size < wanted)) return null;
      const { bytes } = this;
      const length = /\r\ncontent-length: *(\d+)/i.exec(
        bytes.subarray(0, Math.max(0, bytes.indexOf('\r\n\r\n'))).toString('latin1'),
      );
      if (length !== null) wanted = bytes.indexOf('\r\n\r\n') + 4 + Number(length[1]);
      return readMessage(bytes, { ...options, ended: this.end === 'fin' });
    }, 'the end of a message');
    this.take(message.length);
    return message;
  }

  /** Sends a GET; its response. */
  get(path = '/', fields = ''): Promise<Message> {
    this.write(`GET ${path} HTTP/1.1\r\nHost: test\r\n${fields}\r\n`);
    return this.message();
  }

  /** Takes `length` bytes off. */
  take(length: number): Buffer {
    const { bytes } = this;
    this.chunks = [bytes.subarray(length)];
    this.size = bytes.length - length;
    return bytes.subarray(0, length);
  }

  /** Waits for `length` bytes and takes them. */
  async read(length: number): Promise<Buffer> {
    await this.until(() => this.total >= 0 && this.bytes.length >= length, `${length} bytes`);
    return this.take(length);
  }

  /** Resolves when the peer has ended the connection. */
  async closed(): Promise<'fin' | 'reset'> {
    await this.waiting.until(
      () => this.end !== undefined,
      () => 'the end of the connection',
      TIMEOUT_MS,
    );
    return this.end ?? 'fin';
  }

  private get endsInBlankLine(): boolean {
    const last = this.chunks.at(-1);
    return last !== undefined && (last.length < 4 || last.subarray(-4).toString('latin1') === '\r\n\r\n');
  }

  private finish(end: 'fin' | 'reset'): void {
    this.end ??= end;
    this.waiting.wake();
  }
}

/** A client connection to `port`. */
export async function client(port: number): Promise<Wire> {
  const socket = connect({ host: HOST, port, allowHalfOpen: true });
  const wire = new Wire(socket);
  await once(socket, 'connect');
  return wire;
}

/** Sends `request` on a connection of its own and reads one response. */
export async function exchange(port: number, request: string | Uint8Array, method = 'GET'): Promise<Message> {
  const wire = await client(port);
  try {
    wire.write(request);
    return await wire.message({ method });
  } finally {
    wire.destroy();
  }
}

export interface Upstream {
  readonly port: number;
  readonly address: string;
  /** Every connection, in the order of arrival. */
  readonly connections: Wire[];
  /** Bytes received on all connections. */
  readonly received: number;
  /** Changes what happens to connections that arrive from now on. */
  script(play: (wire: Wire, index: number) => Promise<void> | void): void;
  /** Resolves with connection number `index`. */
  connection(index: number): Promise<Wire>;
  close(): Promise<void>;
}

/** A server that does on each connection what `play` says. A script whose connection ends early is over without a failure. */
export async function upstream(
  play: (wire: Wire, index: number) => Promise<void> | void = () => undefined,
): Promise<Upstream> {
  const connections: Wire[] = [];
  let current = play;
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    const wire = new Wire(socket);
    const index = connections.push(wire) - 1;
    void Promise.resolve(current(wire, index)).catch(() => undefined);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    address: `${HOST}:${port}`,
    connections,
    get received() {
      return connections.reduce((sum, { total }) => sum + total, 0);
    },
    script: (next) => {
      current = next;
    },
    connection: async (index) => {
      await eventually(() => connections.length > index, `connection ${index} to the upstream`);
      return connections[index] as Wire;
    },
    close: async () => {
      for (const { socket } of connections) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A script that answers every request on a connection with `answer(request)`. */
export function answering(answer: (request: Message) => string | Uint8Array): (wire: Wire) => Promise<void> {
  return async (wire) => {
    for (;;) {
      const request = await wire.message();
      wire.write(answer(request));
      if (wire.end !== undefined) wire.fin();
    }
  };
}

/** `bytes` in chunks of `step`. */
export function inChunks(bytes: Buffer, step: number, trailers = ''): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += step) {
    const piece = bytes.subarray(at, at + step);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  parts.push(Buffer.from(`0\r\n${trailers}\r\n`));
  return Buffer.concat(parts);
}

export const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

/** Series of one page of metrics, summed by name. */
export async function metrics(sluice: Sluice): Promise<(name: string, ...labels: string[]) => number> {
  const series: [string, string, number][] = [];
  for (const line of (await sluice.admin('/metrics')).split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)/.exec(line);
    if (match !== null) series.push([match[1] ?? '', match[2] ?? '', Number(match[3])]);
  }
  return (name, ...labels) =>
    series
      .filter(([key, text]) => key === name && labels.every((label) => text.includes(label)))
      .reduce((sum, [, , value]) => sum + value, 0);
}
