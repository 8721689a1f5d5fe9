// Limits the requests in progress, and those started per second. The rest is shared: no address gets more than half of it, so that a peer
// that asks without end leaves room for others.
import { fits } from '../../listening/fair-share.js';

export interface AdmissionLimits {
  readonly maxConcurrent: number;
  /** Requests started per second. */
  readonly maxRate: number;
}

interface Peer {
  concurrent: number;
  begun: number;
}

const SECOND_MS = 1000;

export class Admission {
  readonly #peers = new Map<string, Peer>();
  #concurrent = 0;
  #begun = 0;
  #secondEndsMs = 0;

  constructor(
    private readonly limits: AdmissionLimits,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Requests in progress. */
  get concurrent(): number {
    return this.#concurrent;
  }

  /** Whether a request from this address may start; each one that may must call leave(). */
  enter(address: string): boolean {
    this.#turn();
    const peer = this.#peers.get(address) ?? { concurrent: 0, begun: 0 };
    const { maxConcurrent, maxRate } = this.limits;
    if (!fits(peer.concurrent, this.#concurrent, maxConcurrent) || !fits(peer.begun, this.#begun, maxRate))
      return false;
    this.#peers.set(address, peer);
    peer.concurrent++;
    peer.begun++;
    this.#concurrent++;
    this.#begun++;
    return true;
  }

  leave(address: string): void {
    const peer = this.#peers.get(address);
    if (peer === undefined) return;
    peer.concurrent--;
    this.#concurrent--;
  }

  /** A new second: resets the counts, and forgets inactive addresses. */
  #turn(): void {
    const now = this.now();
    if (now < this.#secondEndsMs) return;
    this.#secondEndsMs = now + SECOND_MS;
    this.#begun = 0;
    for (const [address, peer] of this.#peers) {
      peer.begun = 0;
      if (peer.concurrent === 0) this.#peers.delete(address);
    }
  }
}
