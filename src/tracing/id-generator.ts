// Random ids. Random bytes are drawn in advance, because each call of the system's source costs microseconds.
import { nodeCrypto } from '../http/web-socket.js';

const POOL_BYTES = 4096;
const DIGITS = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'));

export class IdGenerator {
  private readonly pool = new Uint8Array(POOL_BYTES);
  private at = POOL_BYTES;
  /** State of a cheap generator for sampling decisions: xorshift32, which is never 0. */
  private state = 0;

  /** A number below 2^32. */
  word(): number {
    if (this.state === 0) {
      this.fill(4);
      for (let i = 0; i < 4; i++) this.state = ((this.state << 8) | this.pool[this.at++]) >>> 0;
      this.state ||= 1;
    }
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** This many random bytes, in hexadecimal digits; never all 0. */
  hex(count: number): string {
    this.fill(count);
    let text = '';
    let any = 0;
    for (let i = 0; i < count; i++) {
      const octet = this.pool[this.at++];
      any |= octet;
      text += DIGITS[octet];
    }
    return any === 0 ? this.hex(count) : text;
  }

  /** Ensures that this many bytes are available. */
  private fill(count: number): void {
    if (this.at + count <= POOL_BYTES) return;
    nodeCrypto().randomFillSync(this.pool);
    this.at = 0;
  }
}
