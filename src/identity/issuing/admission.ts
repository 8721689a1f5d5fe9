// How many requests may be worked on, and how many begun in a second. What is left is shared: one address never gets more than half
// of it, so that a peer that asks without end leaves room for the others.
import { fits } from '../../listening/shares.js';

export interface AdmissionLimits {
  readonly maxConcurrent: number;
  /** Requests begun in a second. */
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

  /** Requests that are worked on. */
  get concurrent(): number {
    return this.#concurrent;
  }

  /** Whether a request of this address may begin; each one that may must leave. */
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

  /** A new second: what has been begun counts no more, and those who do nothing are forgotten. */
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
