// The worker's peers in a rehearsal: clients that send one request after the other, and endpoints that answer.
import type { Kernel } from './kernel.js';
import type { End, Octets } from './pipes.js';
import { REPEATED, type Traffic } from './traffic.js';

/** Requests on a connection before its client reconnects. */
const REQUESTS = 40;
const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('\r\n0\r\n\r\n');

/** The first message in `input`, and whether it is complete. `bare`: it has no body, whatever its fields say. */
export function wholeMessage(input: Octets, bare: boolean): number {
  const bytes = Buffer.from(input.bytes.buffer, input.bytes.byteOffset + input.from, input.length);
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return -1;
  const head = bytes.toString('latin1', 0, end).toLowerCase();
  const body = end + HEAD_END.length;
  if (bare || head.startsWith('http/1.1 204') || head.startsWith('http/1.1 304')) return body;
  if (head.includes('\r\ntransfer-encoding: chunked')) {
    const last = bytes.indexOf(LAST_CHUNK, end);
    return last < 0 ? -1 : last + LAST_CHUNK.length;
  }
  const length = /\r\ncontent-length: *(\d+)/.exec(head);
  const whole = body + (length === null ? 0 : Number(length[1]));
  return whole <= bytes.length ? whole : -1;
}

/** An HTTP/1.1 client. */
export class Client {
  /** Complete responses received. */
  answers = 0;
  private end: End | undefined;
  private asked = 0;
  private head = false;

  constructor(
    private readonly kernel: Kernel,
    private readonly traffic: Traffic,
    private readonly port: number,
    /** It sends the same request all the time. */
    private readonly repeats: boolean,
  ) {}

  act(): void {
    if (this.end === undefined || this.asked === REQUESTS) {
      if (this.end !== undefined && !this.answered(this.end)) return;
      this.end?.close();
      this.asked = 0;
      this.end = this.kernel.connect(this.port);
      if (this.end !== undefined) this.ask(this.end);
    } else if (this.answered(this.end)) this.ask(this.end);
    else if (this.end.ended) this.end = undefined;
  }

  private answered({ input }: End): boolean {
    const length = input.length === 0 ? -1 : wholeMessage(input, this.head);
    if (length < 0) return false;
    input.drop(length);
    this.answers++;
    return true;
  }

  private ask(end: End): void {
    const request = this.repeats ? REPEATED.REQUEST : this.traffic.request();
    this.head = request[0] === 0x48;
    this.asked++;
    end.write(request);
  }
}

/** A client that sends bytes that are not HTTP, and expects them back. */
export class OpaqueClient {
  answers = 0;
  private end: End | undefined;
  private sent = 0;
  private awaited = 0;

  constructor(
    private readonly kernel: Kernel,
    private readonly traffic: Traffic,
    private readonly port: number,
  ) {}

  act(): void {
    if (this.end === undefined || this.end.ended || this.sent === REQUESTS) {
      this.end?.close();
      this.end = this.kernel.connect(this.port);
      this.sent = 0;
      this.awaited = 0;
    }
    const { end } = this;
    if (end === undefined || end.input.length < this.awaited) return;
    if (this.awaited > 0) this.answers++;
    end.input.drop(this.awaited);
    const bytes = this.traffic.opaque();
    this.awaited = bytes.length;
    this.sent++;
    end.write(bytes);
  }
}

/** What an endpoint answers: always something else, always the same, or what it was sent. */
export type Answers = 'varied' | 'repeated' | 'echoed';

/** An endpoint: HTTP/1.1, or one that echoes. */
export class Endpoint {
  private readonly ends: End[] = [];

  constructor(
    kernel: Kernel,
    private readonly traffic: Traffic,
    port: number,
    private readonly answers: Answers,
  ) {
    kernel.serve(port, (end) => this.ends.push(end));
  }

  act(): void {
    for (let i = this.ends.length - 1; i >= 0; i--) {
      const end = this.ends[i];
      if (end.input.length > 0) this.answer(end);
      else if (end.ended) {
        end.close();
        this.ends.splice(i, 1);
      }
    }
  }

  private answer(end: End): void {
    const { input } = end;
    if (this.answers === 'echoed') {
      end.write(input.bytes, input.from, input.length);
      input.drop(input.length);
      return;
    }
    const length = wholeMessage(input, false);
    if (length < 0) return;
    const method = input.bytes[input.from] === 0x48 ? 'HEAD' : '';
    input.drop(length);
    end.write(this.answers === 'repeated' ? REPEATED.RESPONSE : this.traffic.response(method));
  }
}
