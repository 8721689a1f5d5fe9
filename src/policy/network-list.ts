// Networks of a rule, as numbers to compare addresses with.
import { MAPPED_PREFIX, type Network, plainAddressBits } from '../config/addresses.js';

/** Four 32-bit numbers, the highest first; IPv4 addresses are mapped into IPv6. */
export type AddressWords = Uint32Array;
const WORDS = 4;
const MAPPED = 0xffff;
const DOT = 0x2e;
const COLON = 0x3a;
const ZERO = 0x30;

export const addressWords = (): AddressWords => new Uint32Array(WORDS);

/** Parses `ip:port` or `[ip6]:port` into `words`. False if it is not in that form. */
export function readAddress(text: string, words: AddressWords): boolean {
  if (text.charCodeAt(0) !== 0x5b) return readIPv4(text, words);
  const close = text.indexOf(']');
  const bits = plainAddressBits(text.slice(1, close < 0 ? undefined : close).replace(/%.*$/, ''));
  if (bits === null) return false;
  putWords(bits.family === 4 ? MAPPED_PREFIX + bits.hex : bits.hex, words, 0);
  return true;
}

function readIPv4(text: string, words: AddressWords): boolean {
  let value = 0;
  let part = -1;
  let parts = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : COLON;
    if (code === DOT || code === COLON) {
      if (part < 0 || part > 255) return false;
      value = value * 256 + part;
      parts++;
      part = -1;
      if (code === COLON) break;
    } else {
      if (code < ZERO || code > ZERO + 9) return false;
      part = Math.max(part, 0) * 10 + code - ZERO;
    }
  }
  if (parts !== 4) return false;
  words[0] = 0;
  words[1] = 0;
  words[2] = MAPPED;
  words[3] = value;
  return true;
}

function putWords(hex: string, into: Uint32Array, at: number): void {
  for (let i = 0; i < WORDS; i++) into[at + i] = Number.parseInt(hex.slice(8 * i, 8 * i + 8), 16);
}

/** Networks with exceptions. */
export class NetworkList {
  /** First and last address of each network, then of each exception. */
  private readonly bounds: Uint32Array;
  private readonly family: Uint8Array;
  /** Index of each network's first exception; one more entry than there are networks. */
  private readonly excepted: number[] = [];
  private readonly count: number;

  constructor(networks: readonly { readonly cidr: Network; readonly except: readonly Network[] }[]) {
    const all: Network[] = networks.map(({ cidr }) => cidr);
    this.count = all.length;
    for (const { except } of networks) {
      this.excepted.push(all.length);
      all.push(...except);
    }
    this.excepted.push(all.length);
    this.bounds = new Uint32Array(all.length * 2 * WORDS);
    this.family = Uint8Array.from(all, ({ family }) => family);
    all.forEach(({ family, first, last }, i) => {
      const prefix = family === 4 ? MAPPED_PREFIX : '';
      putWords(prefix + first, this.bounds, 2 * WORDS * i);
      putWords(prefix + last, this.bounds, 2 * WORDS * i + WORDS);
    });
  }

  has(address: AddressWords): boolean {
    for (let i = 0; i < this.count; i++) {
      if (!this.within(i, address)) continue;
      let except = this.excepted[i];
      while (except < this.excepted[i + 1] && !this.within(except, address)) except++;
      if (except === this.excepted[i + 1]) return true;
    }
    return false;
  }

  private within(i: number, address: AddressWords): boolean {
    const { bounds } = this;
    const family = address[0] === 0 && address[1] === 0 && address[2] === MAPPED ? 4 : 6;
    if (this.family[i] !== family) return false;
    const at = 2 * WORDS * i;
    return compare(address, bounds, at) >= 0 && compare(address, bounds, at + WORDS) <= 0;
  }
}

function compare(address: AddressWords, bounds: Uint32Array, at: number): number {
  for (let i = 0; i < WORDS; i++) if (address[i] !== bounds[at + i]) return address[i] < bounds[at + i] ? -1 : 1;
  return 0;
}
