// Certified peer identities per socket, as small numbers: authorization, headers and metrics compare numbers, and no string is created on
// the hot path.
import { column } from '../http/columns.js';

/** Identity of a socket without TLS, or without a certificate. */
export const NOBODY = 0;

const NONE: readonly string[] = [];

/** Names remembered while nobody is connected with them; the oldest are dropped first. */
const MAX_UNUSED = 1024;

export class TlsPeers {
  /** By socket: the peer's identity, NOBODY without one. */
  readonly identity: Int32Array;
  private readonly numbers = new Map<string, number>();
  private readonly names: (string | undefined)[] = [''];
  private readonly all: (readonly string[])[] = [NONE];
  private readonly uses: number[] = [0];
  private readonly free: number[] = [];
  private unused = 0;

  constructor(sockets: number) {
    this.identity = column(Int32Array, sockets);
  }

  /** A handshake has shown `name` at the other end of `slot`; `all` are the names in its certificate, including this one. */
  identified(slot: number, name: string, all: readonly string[] = [name]): void {
    this.forget(slot);
    const key = `${name}\n${all.join('\n')}`;
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.free.pop() ?? this.names.length;
      this.numbers.set(key, number);
      this.names[number] = name;
      this.all[number] = all;
      this.uses[number] = 0;
    } else if (this.uses[number] === 0) this.unused--;
    this.uses[number]++;
    this.identity[slot] = number;
  }

  /** The connection is over. */
  forget(slot: number): void {
    const number = this.identity[slot];
    if (number === NOBODY) return;
    this.identity[slot] = NOBODY;
    if (--this.uses[number] > 0) return;
    this.unused++;
    if (this.unused > MAX_UNUSED) this.sweep();
  }

  /** The name for a number; empty for NOBODY. */
  nameOf(identity: number): string {
    return this.names[identity] ?? '';
  }

  /** All names in the certificate; none for NOBODY. */
  namesOf(identity: number): readonly string[] {
    return this.all[identity] ?? NONE;
  }

  /** Upper bound of the numbers in use. */
  get limit(): number {
    return this.names.length;
  }

  private sweep(): void {
    for (const [key, number] of this.numbers) {
      if (this.uses[number] > 0) continue;
      this.numbers.delete(key);
      this.names[number] = undefined;
      this.all[number] = NONE;
      this.free.push(number);
    }
    this.unused = 0;
  }
}
