// Limits on handshakes: number in progress, work per loop turn, and time for each. A handshake costs as much as hundreds of requests, and
// anybody can ask for one; established connections must not wait for new ones.
//
// An accepted client waits in line before its first bytes may be received: until then they stay in the kernel, and nothing is held for it.
// Our own connections have a separate line and limit, and go first. The next thing to do for a handshake is a step; steps are taken in
// order of arrival.
import { column } from '../http/columns.js';
import { SlotList } from './slot-list.js';

export interface HandshakeLimits {
  /** Timeout of a whole handshake, ms. */
  readonly timeoutMs: number;
  /** Maximum in progress, for each side. */
  readonly max: number;
  /** Steps per loop turn, and their time per turn, ms, after which the current step is the last. */
  readonly perTurn: number;
  readonly turnMs: number;
  /** When the maximum is reached: one in progress for this long makes room for those that wait, ms. */
  readonly displaceAfterMs: number;
}

/** Carries out the steps. */
export interface HandshakeSteps {
  /** It may begin. */
  admitted(slot: number): void;
  /** Takes its next step. */
  step(slot: number): void;
  /** Its time is up. */
  timedOut(slot: number): void;
  /** It has kept us waiting, and others want its place. */
  displaced(slot: number): void;
}

export class Handshakes {
  /** Turns that left some steps for the next. */
  deferrals = 0;
  limits: HandshakeLimits = { timeoutMs: 10_000, max: 1024, perTurn: 8, turnMs: 0.25, displaceAfterMs: 1000 };
  private readonly all: SlotList;
  private readonly waitingClients: SlotList;
  private readonly waitingDials: SlotList;
  private readonly admittedClients: SlotList;
  private readonly admittedDials: SlotList;
  private readonly steps: SlotList;
  private readonly began: Float64Array;
  private readonly admittedAt: Float64Array;
  /** 1 for our own connections. */
  private readonly dialled: Uint8Array;

  constructor(
    slots: number,
    private readonly work: HandshakeSteps,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.all = new SlotList(slots);
    this.waitingClients = new SlotList(slots);
    this.waitingDials = new SlotList(slots);
    this.admittedClients = new SlotList(slots);
    this.admittedDials = new SlotList(slots);
    this.steps = new SlotList(slots);
    this.began = column(Float64Array, slots);
    this.admittedAt = column(Float64Array, slots);
    this.dialled = column(Uint8Array, slots);
  }

  /** Unfinished handshakes, including those whose peer has not sent anything. */
  get open(): number {
    return this.all.size;
  }

  /** Those that have begun, on both sides. */
  get inProgress(): number {
    return this.admittedClients.size + this.admittedDials.size;
  }

  /** Those waiting for a place. */
  get waiting(): number {
    return this.waitingClients.size + this.waitingDials.size;
  }

  /** Whether something could be done at once. */
  get runnable(): number {
    const { max } = this.limits;
    if (this.steps.size > 0) return this.steps.size;
    if (this.admittedClients.size < max && this.waitingClients.size > 0) return this.waitingClients.size;
    return this.admittedDials.size < max ? this.waitingDials.size : 0;
  }

  /** The connection is established: its time begins. `dialled`: by us. */
  begin(slot: number, dialled: boolean): void {
    this.dialled[slot] = dialled ? 1 : 0;
    this.began[slot] = this.clock();
    this.all.push(slot);
  }

  /** Asks for a place. */
  enqueue(slot: number): void {
    if (this.dialled[slot] === 1) this.waitingDials.push(slot);
    else this.waitingClients.push(slot);
  }

  /** Queues a step. */
  queue(slot: number): void {
    this.steps.push(slot);
  }

  queued(slot: number): boolean {
    return this.steps.has(slot);
  }

  /** It is over, successfully or not. Returns its duration, ms. */
  done(slot: number): number {
    if (!this.all.has(slot)) return 0;
    this.all.remove(slot);
    this.waitingClients.remove(slot);
    this.waitingDials.remove(slot);
    this.admittedClients.remove(slot);
    this.admittedDials.remove(slot);
    this.steps.remove(slot);
    return this.clock() - this.began[slot];
  }

  /** Once per loop turn, after everything else. */
  turn(): void {
    if (this.all.size === 0) return;
    const now = this.clock();
    this.expire(now);
    this.admit(now);
    const end = now + this.limits.turnMs;
    for (let n = Math.min(this.steps.size, this.limits.perTurn); n > 0; n--) {
      const slot = this.steps.shift();
      if (slot < 0) break;
      this.work.step(slot);
      if (this.clock() >= end) break;
    }
    if (this.steps.size > 0 || this.runnable > 0) this.deferrals++;
  }

  private expire(now: number): void {
    for (let slot = this.all.first; slot >= 0; slot = this.all.first) {
      if (now < this.began[slot] + this.limits.timeoutMs) return;
      this.work.timedOut(slot);
      this.done(slot);
    }
  }

  private admit(now: number): void {
    const { max, perTurn } = this.limits;
    while (this.waitingDials.size > 0 && this.admittedDials.size < max)
      this.admitNext(this.waitingDials, this.admittedDials, now);
    // Admit no more than can be served soon: whatever they send is held from now on.
    for (let room = perTurn - this.steps.size; room > 0 && this.waitingClients.size > 0; room--) {
      if (this.admittedClients.size >= max && !this.makeRoom(now)) return;
      this.admitNext(this.waitingClients, this.admittedClients, now);
    }
  }

  private admitNext(from: SlotList, to: SlotList, now: number): void {
    const slot = from.shift();
    to.push(slot);
    this.admittedAt[slot] = now;
    this.work.admitted(slot);
  }

  /** Ends the oldest one in progress, if it is old enough: it is waiting for its peer. */
  private makeRoom(now: number): boolean {
    const slot = this.admittedClients.first;
    if (slot < 0 || this.steps.has(slot) || now < this.admittedAt[slot] + this.limits.displaceAfterMs) return false;
    this.work.displaced(slot);
    this.done(slot);
    return true;
  }
}
