// The traffic of a rehearsal: requests and responses like those of applications, no two alike. Code that has only ever seen one head is
// compiled for that head, and discarded at the first other one.
const AGENTS = [
  'Mozilla/5.0 (X11; Linux x86_64)',
  'curl/8.5.0',
  'okhttp/4.12.0',
  'Go-http-client/2.0',
  'python-requests/2.32',
];
const HOSTS = ['orders', 'orders.shop.svc.cluster.local', 'api.example.com:8080', '10.0.3.17:9090'];
const TYPES = ['application/json', 'text/html; charset=utf-8', 'application/octet-stream', 'text/plain'];
const STATUSES = ['200 OK', '200 OK', '200 OK', '201 Created', '404 Not Found', '304 Not Modified', '204 No Content'];
const MAX_BODY = 4096;
/** What comes again and again. */
export const REPEATED = {
  REQUEST: Buffer.from('GET /items HTTP/1.1\r\nHost: orders\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n'),
  RESPONSE: Buffer.from(
    'HTTP/1.1 200 OK\r\nServer: envoy\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello',
  ),
} as const;
/** How many different messages there are of each sort, but for their digits. */
const KINDS = 40;

/** Deterministic pseudo-random numbers. */
export class Random {
  private state = 0x2545f491;

  /** Below `limit`. */
  below(limit: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** Stands for a hexadecimal digit that is another one each time. */
const DIGIT = '~';
const DIGITS = Buffer.from('0123456789abcdef');

const hex = (digits: number): string => DIGIT.repeat(digits);

/** A message that is made once, as that is dear, and whose digits are new each time it is used. */
class Message {
  private readonly digits: number[] = [];

  constructor(private readonly bytes: Buffer) {
    for (let at = bytes.indexOf(DIGIT); at >= 0; at = bytes.indexOf(DIGIT, at + 1)) this.digits.push(at);
  }

  /** Valid until the next call. */
  next(dice: Random): Uint8Array {
    const { bytes, digits } = this;
    for (let i = 0; i < digits.length; i++) bytes[digits[i]] = DIGITS[dice.below(16)];
    return bytes;
  }
}

export class Traffic {
  private readonly random = new Random();
  private readonly filling = new Uint8Array(MAX_BODY).fill(0x78);
  private readonly requests = Array.from({ length: KINDS }, (_, kind) => new Message(this.makeRequest(kind)));
  private readonly responses = Array.from({ length: KINDS }, (_, kind) => new Message(this.makeResponse('', kind)));
  private readonly bare = Array.from({ length: KINDS }, (_, kind) => new Message(this.makeResponse('HEAD', kind)));
  private asked = 0;
  private answered = 0;

  /** An HTTP/1.1 request, unlike all others. */
  request(): Uint8Array {
    return this.requests[this.asked++ % KINDS].next(this.random);
  }

  /** A response to a request that began with `method`, unlike all others. */
  response(method: string): Uint8Array {
    return (method === 'HEAD' ? this.bare : this.responses)[this.answered++ % KINDS].next(this.random);
  }

  /** Bytes that are not HTTP. */
  opaque(): Uint8Array {
    return this.filling.subarray(0, 32 + this.random.below(1024));
  }

  private makeRequest(count: number): Buffer {
    const { random } = this;
    const kind = count % 8;
    const method = kind < 5 ? 'GET' : kind < 7 ? 'POST' : 'HEAD';
    const lines = [
      `${method} /api/v${random.below(3)}/items/${hex(random.below(8))}?page=${random.below(100)}&token=${hex(12)} HTTP/1.1`,
      `Host: ${random.of(HOSTS)}`,
      `User-Agent: ${random.of(AGENTS)} build/${random.below(4)}`,
      'Accept: */*',
      `X-Request-Id: ${hex(8)}-${hex(4)}-${hex(4)}-${hex(12)}`,
    ];
    if (random.below(4) > 0) lines.push(`traceparent: 00-${hex(32)}-${hex(16)}-01`);
    if (random.below(3) > 0) lines.push(`Cookie: session=${hex(24)}; theme=dark; visits=${random.below(500)}`);
    if (random.below(2) > 0) lines.push('Accept-Encoding: gzip, deflate');
    if (random.below(4) === 0) lines.push(`Authorization: Bearer ${hex(60)}`);
    if (random.below(3) === 0) lines.push('Connection: keep-alive');
    // Longer than what HPACK and Huffman codes have one octet for.
    if (random.below(6) === 0) lines.push(`X-Context: ${hex(300)}${'padding '.repeat(random.below(40))}end`);
    if (method !== 'POST') return text(lines);
    return this.withBody(lines);
  }

  private makeResponse(method: string, count: number): Buffer {
    const { random } = this;
    const status = STATUSES[count % STATUSES.length];
    const lines = [
      `HTTP/1.1 ${status}`,
      `Date: Mon, ${10 + random.below(18)} Jun 2026 ${10 + random.below(14)}:${10 + random.below(50)}:${10 + random.below(50)} GMT`,
      `Content-Type: ${random.of(TYPES)}`,
      `X-Request-Id: ${hex(8)}-${hex(4)}-${hex(4)}-${hex(12)}`,
    ];
    if (random.below(3) > 0) lines.push(`ETag: "${hex(16)}"`);
    if (random.below(4) === 0) lines.push(`Set-Cookie: session=${hex(24)}; Path=/; HttpOnly`);
    if (random.below(2) === 0) lines.push('Server: envoy', `X-Upstream-Time: ${random.below(90)}`);
    if (random.below(3) === 0) lines.push('Connection: keep-alive');
    if (random.below(6) === 0) lines.push(`X-Context: ${hex(300)}`);
    if (status.startsWith('204') || status.startsWith('304')) return text(lines);
    if (method === 'HEAD') return text([...lines, `Content-Length: ${random.below(MAX_BODY)}`]);
    return random.below(4) === 0 ? this.chunked(lines) : this.withBody(lines);
  }

  private withBody(lines: string[]): Buffer {
    const length = this.random.below(4) === 0 ? this.random.below(MAX_BODY) : this.random.below(200);
    return Buffer.concat([text([...lines, `Content-Length: ${length}`]), this.filling.subarray(0, length)]);
  }

  private chunked(lines: string[]): Buffer {
    const length = 1 + this.random.below(600);
    const chunk = Buffer.from(`${length.toString(16)}\r\n`);
    const end = Buffer.from('\r\n0\r\n\r\n');
    return Buffer.concat([
      text([...lines, 'Transfer-Encoding: chunked']),
      chunk,
      this.filling.subarray(0, length),
      end,
    ]);
  }
}

const text = (lines: readonly string[]): Buffer => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
