// Random ids. Drawn in advance, as each call of the system's source of them costs microseconds.
import { nodeCrypto } from '../http/web-socket.js';

const POOL_BYTES = 4096;

export class Ids {
  private readonly pool = new Uint8Array(POOL_BYTES);
  private at = POOL_BYTES;
  /** Of a cheap generator for the decisions: xorshift32, which never is 0. */
  private state = 0;

  /** A number below 2^32. */
  word(): number {
    if (this.state === 0) {
      const [a, b, c, d] = this.octets(4);
      this.state = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0 || 1;
    }
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** So many random octets, in hexadecimal digits; never all 0. */
  hex(count: number): string {
    let text = '';
    for (const octet of this.octets(count)) text += octet.toString(16).padStart(2, '0');
    return /^0*$/.test(text) ? this.hex(count) : text;
  }

  private octets(count: number): Uint8Array {
    if (this.at + count > POOL_BYTES) {
      nodeCrypto().randomFillSync(this.pool);
      this.at = 0;
    }
    this.at += count;
    return this.pool.subarray(this.at - count, this.at);
  }
}
