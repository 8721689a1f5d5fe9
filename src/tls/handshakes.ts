// How much handshakes may take: so many under way, so much work in a loop turn, so much time for each. A handshake costs as much as hundreds of
// requests, and anybody can ask for one; connections that stand must not wait for those that come.
//
// Who was accepted waits in line until his first bytes may be received: they stay in the kernel till then, and nothing is held for him. Connections
// that we make ourselves have a line and a bound of their own, and go first. What is to be done next for a handshake is a step; steps are
// taken first come first served.
import { SlotList } from './slot-list.js';

export interface HandshakeLimits {
  /** For all of a handshake, ms. */
  readonly timeoutMs: number;
  /** Under way at once, of each side. */
  readonly max: number;
  /** Steps in a loop turn, which also ends with them after this time, ms, with the step that is being taken. */
  readonly perTurn: number;
  readonly turnMs: number;
  /** Who has been under way for so long makes room for those who wait when as many are under way as may be, ms. */
  readonly patienceMs: number;
}

/** Who carries them out. */
export interface HandshakeSteps {
  /** May begin. */
  admitted(slot: number): void;
  /** Is to do what it has to do next. */
  step(slot: number): void;
  /** Has had its time. */
  late(slot: number): void;
  /** Has been waiting for its peer, and others want its place. */
  displaced(slot: number): void;
}

export class Handshakes {
  /** Turns that left some of them for the next. */
  deferrals = 0;
  limits: HandshakeLimits = { timeoutMs: 10_000, max: 1024, perTurn: 8, turnMs: 0.25, patienceMs: 1000 };
  private readonly all: SlotList;
  private readonly strangers: SlotList;
  private readonly ours: SlotList;
  private readonly admittedStrangers: SlotList;
  private readonly admittedOurs: SlotList;
  private readonly steps: SlotList;
  private readonly began: Float64Array;
  private readonly admittedAt: Float64Array;
  /** 1 for connections that we make. */
  private readonly own: Uint8Array;

  constructor(
    slots: number,
    private readonly work: HandshakeSteps,
    private readonly clock: () => number = () => performance.now(),
  ) {
    this.all = new SlotList(slots);
    this.strangers = new SlotList(slots);
    this.ours = new SlotList(slots);
    this.admittedStrangers = new SlotList(slots);
    this.admittedOurs = new SlotList(slots);
    this.steps = new SlotList(slots);
    this.began = new Float64Array(slots);
    this.admittedAt = new Float64Array(slots);
    this.own = new Uint8Array(slots);
  }

  /** Handshakes that have not come to an end, those included whose peer has not said a word. */
  get open(): number {
    return this.all.size;
  }

  /** Those that have begun, of both sides. */
  get underWay(): number {
    return this.admittedStrangers.size + this.admittedOurs.size;
  }

  /** Those that wait for a place. */
  get waiting(): number {
    return this.strangers.size + this.ours.size;
  }

  /** Whether something could be done at once. */
  get runnable(): number {
    const { max } = this.limits;
    if (this.steps.size > 0) return this.steps.size;
    if (this.admittedStrangers.size < max && this.strangers.size > 0) return this.strangers.size;
    return this.admittedOurs.size < max ? this.ours.size : 0;
  }

  /** A connection stands: its time begins. `own`: we have made it. */
  begin(slot: number, own: boolean): void {
    this.own[slot] = own ? 1 : 0;
    this.began[slot] = this.clock();
    this.all.push(slot);
  }

  /** Wants to begin. */
  ask(slot: number): void {
    if (this.own[slot] === 1) this.ours.push(slot);
    else this.strangers.push(slot);
  }

  /** Has something to do. */
  queue(slot: number): void {
    this.steps.push(slot);
  }

  queued(slot: number): boolean {
    return this.steps.has(slot);
  }

  /** It is over, one way or the other. Returns how long it has taken, ms. */
  done(slot: number): number {
    if (!this.all.has(slot)) return 0;
    this.all.remove(slot);
    this.strangers.remove(slot);
    this.ours.remove(slot);
    this.admittedStrangers.remove(slot);
    this.admittedOurs.remove(slot);
    this.steps.remove(slot);
    return this.clock() - this.began[slot];
  }

  /** Once a loop turn, after everything else in it. */
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
      this.work.late(slot);
      this.done(slot);
    }
  }

  private admit(now: number): void {
    const { max, perTurn } = this.limits;
    while (this.ours.size > 0 && this.admittedOurs.size < max) this.begins(this.ours, this.admittedOurs, now);
    // No more than can be served soon: whatever they send is held from here on.
    for (let room = perTurn - this.steps.size; room > 0 && this.strangers.size > 0; room--) {
      if (this.admittedStrangers.size >= max && !this.makeRoom(now)) return;
      this.begins(this.strangers, this.admittedStrangers, now);
    }
  }

  private begins(from: SlotList, to: SlotList, now: number): void {
    const slot = from.shift();
    to.push(slot);
    this.admittedAt[slot] = now;
    this.work.admitted(slot);
  }

  /** Ends the one that has been under way longest, if that is long enough: it waits for its peer. */
  private makeRoom(now: number): boolean {
    const slot = this.admittedStrangers.first;
    if (slot < 0 || this.steps.has(slot) || now < this.admittedAt[slot] + this.limits.patienceMs) return false;
    this.work.displaced(slot);
    this.done(slot);
    return true;
  }
}
