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
const MOST_BODY = 4096;

/** Deterministic pseudo-random numbers. */
export class Dice {
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

  hex(digits: number): string {
    let text = '';
    while (text.length < digits) text += this.below(0x1000000).toString(16).padStart(6, '0');
    return text.slice(0, digits);
  }
}

export class Traffic {
  private readonly dice = new Dice();
  private readonly filling = new Uint8Array(MOST_BODY).fill(0x78);
  private count = 0;

  /** An HTTP/1.1 request. */
  request(): Uint8Array {
    const { dice } = this;
    const kind = this.count++ % 8;
    const method = kind < 5 ? 'GET' : kind < 7 ? 'POST' : 'HEAD';
    const lines = [
      `${method} /api/v${dice.below(3)}/items/${dice.below(1e6)}?page=${dice.below(100)}&token=${dice.hex(12)} HTTP/1.1`,
      `Host: ${dice.of(HOSTS)}`,
      `User-Agent: ${dice.of(AGENTS)} build/${dice.below(4)}`,
      'Accept: */*',
      `X-Request-Id: ${dice.hex(8)}-${dice.hex(4)}-${dice.hex(4)}-${dice.hex(12)}`,
    ];
    if (dice.below(4) > 0) lines.push(`traceparent: 00-${dice.hex(32)}-${dice.hex(16)}-01`);
    if (dice.below(3) > 0) lines.push(`Cookie: session=${dice.hex(24)}; theme=dark; visits=${dice.below(500)}`);
    if (dice.below(2) > 0) lines.push('Accept-Encoding: gzip, deflate');
    if (dice.below(4) === 0) lines.push(`Authorization: Bearer ${dice.hex(60)}`);
    if (method !== 'POST') return text(lines);
    return this.withBody(lines);
  }

  /** A response to a request that began with `method`. */
  response(method: string): Uint8Array {
    const { dice } = this;
    const status = dice.of(STATUSES);
    const lines = [
      `HTTP/1.1 ${status}`,
      `Date: Mon, ${10 + dice.below(18)} Jun 2026 ${10 + dice.below(14)}:${10 + dice.below(50)}:${10 + dice.below(50)} GMT`,
      `Content-Type: ${dice.of(TYPES)}`,
      `X-Request-Id: ${dice.hex(8)}-${dice.hex(4)}-${dice.hex(4)}-${dice.hex(12)}`,
    ];
    if (dice.below(3) > 0) lines.push(`ETag: "${dice.hex(16)}"`);
    if (dice.below(4) === 0) lines.push(`Set-Cookie: session=${dice.hex(24)}; Path=/; HttpOnly`);
    if (dice.below(2) === 0) lines.push('Server: envoy', `X-Upstream-Time: ${dice.below(90)}`);
    if (status.startsWith('204') || status.startsWith('304')) return text(lines);
    if (method === 'HEAD') return text([...lines, `Content-Length: ${dice.below(MOST_BODY)}`]);
    return dice.below(4) === 0 ? this.chunked(lines) : this.withBody(lines);
  }

  /** Bytes that are not HTTP. */
  opaque(): Uint8Array {
    return this.filling.subarray(0, 32 + this.dice.below(1024));
  }

  private withBody(lines: string[]): Uint8Array {
    const length = this.dice.below(4) === 0 ? this.dice.below(MOST_BODY) : this.dice.below(200);
    return Buffer.concat([text([...lines, `Content-Length: ${length}`]), this.filling.subarray(0, length)]);
  }

  private chunked(lines: string[]): Uint8Array {
    const length = 1 + this.dice.below(600);
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
