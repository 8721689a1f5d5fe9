// A collector of OTLP/HTTP that keeps what it is sent, in tests.
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Reader } from '../../src/protobuf/reader.js';
import { readMetrics, type SeenMetrics } from './otlp-metrics.js';
import type { Certified } from './pki.js';
import { Waiting } from './waiting.js';

/** What tests look at of a span. */
export interface SeenSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly kind: number;
  readonly attributes: Readonly<Record<string, string | number>>;
}

export class Collector {
  readonly bodies: Buffer[] = [];
  readonly headers: IncomingHttpHeaders[] = [];
  readonly spans: SeenSpan[] = [];
  readonly metrics: SeenMetrics[] = [];
  /** Requests, whatever they were answered. */
  asked = 0;
  /** What it answers. */
  status = 200;
  private readonly waiting = new Waiting();
  private readonly server: Server;

  private constructor(private readonly certified: Certified | null) {
    const taken = (request: IncomingMessage, response: ServerResponse): void => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.once('end', () => {
        const body = Buffer.concat(chunks);
        this.asked++;
        response.writeHead(this.status).end();
        if (this.status === 200 && request.url === '/v1/traces') {
          this.bodies.push(body);
          this.headers.push(request.headers);
          this.spans.push(...spansIn(body));
        }
        if (this.status === 200 && request.url === '/v1/metrics') {
          this.headers.push(request.headers);
          this.metrics.push(readMetrics(body));
        }
        this.waiting.wake();
      });
    };
    this.server =
      certified === null ? createServer(taken) : createTls({ cert: certified.chain, key: certified.key }, taken);
  }

  /** `certified`: it speaks TLS, as localhost. */
  static async start(certified: Certified | null = null): Promise<Collector> {
    const collector = new Collector(certified);
    await new Promise<void>((resolve) => collector.server.listen(0, '127.0.0.1', resolve));
    return collector;
  }

  get address(): string {
    const { port } = this.server.address() as AddressInfo;
    return this.certified === null ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
  }

  /** The first span, past or to come, that `matches`. */
  async span(what: string, matches: (span: SeenSpan) => boolean): Promise<SeenSpan> {
    await this.waiting.until(
      () => this.spans.some(matches),
      () => `${what} (seen: ${JSON.stringify(this.spans)})`,
    );
    const found = this.spans.find(matches);
    if (found === undefined) throw new Error(what);
    return found;
  }

  /** Resolves when `condition`, which is asked after each request, holds. */
  until(condition: () => boolean, what: string): Promise<void> {
    return this.waiting.until(condition, () => what);
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** Reads ExportTraceServiceRequest: resource_spans, scope_spans, spans. */
function spansIn(body: Buffer): SeenSpan[] {
  const spans: SeenSpan[] = [];
  for (const resource of messages(new Reader(body), 1))
    for (const scope of messages(resource, 2)) for (const span of messages(scope, 2)) spans.push(spanIn(span));
  return spans;
}

function* messages(reader: Reader, field: number): Iterable<Reader> {
  while (reader.next()) if (reader.field === field) yield reader.message();
}

function spanIn(reader: Reader): SeenSpan {
  const span = { traceId: '', spanId: '', parentId: '', name: '', kind: 0 };
  const attributes: Record<string, string | number> = {};
  while (reader.next()) {
    if (reader.field === 1) span.traceId = Buffer.from(reader.bytes()).toString('hex');
    else if (reader.field === 2) span.spanId = Buffer.from(reader.bytes()).toString('hex');
    else if (reader.field === 4) span.parentId = Buffer.from(reader.bytes()).toString('hex');
    else if (reader.field === 5) span.name = reader.string();
    else if (reader.field === 6) span.kind = reader.uint32();
    else if (reader.field === 9) Object.assign(attributes, attributeIn(reader.message()));
  }
  return { ...span, attributes };
}

function attributeIn(reader: Reader): Record<string, string | number> {
  let key = '';
  let value: string | number = '';
  while (reader.next()) {
    if (reader.field === 1) key = reader.string();
    else if (reader.field === 2) {
      const any = reader.message();
      while (any.next()) value = any.field === 1 ? any.string() : Number(any.uint64());
    }
  }
  return { [key]: value };
}
