// The table of destinations: where connections go and how they are treated. A listener with services of its own has one destination, at its
// own slot. A listener with `originalDestination: true` has one for each original destination of its clients; these are found by address,
// and kept while in use and for some time after.
//
// All operations are a few loads and stores: lookup walks one short chain, and unused destinations form a list, oldest first.

import { VERDICT } from '../../detect/matcher.js';
import { ADDRESS_WORDS, addressKey, destinationKey } from '../../detect/server-first-table.js';
import { column } from '../../http/columns.js';
import { MAX_LISTENERS } from '../../metrics/layout.js';
import { LOCAL_DESTINATIONS } from '../capacity.js';
import { type DestinationSnapshot, type ListenerSnapshot, MODE } from '../snapshot.js';

/** State of an original destination: `Destinations.state`. */
export const DESTINATION = {
  /** The slot is free. */
  FREE: 0,
  /** The main thread has been asked; new connections wait for the answer. */
  ASKED: 1,
  /** It has answered. */
  KNOWN: 2,
  /** The answer is late: until it comes, connections go to their original destination. */
  LATE: 3,
} as const;

/** One destination per listener, at the listener's own slot, followed by the original ones. */
export const DESTINATION_SLOTS = MAX_LISTENERS + LOCAL_DESTINATIONS;
const HASH_SLOTS = 16_384;
const NONE = -1;

export class Destinations {
  /** A MODE, and its reason (index into REASONS) unless it is DETECT. */
  readonly mode = column(Uint8Array, DESTINATION_SLOTS);
  readonly reason = column(Uint8Array, DESTINATION_SLOTS);
  /** Service slot of verdict v at slot * 4 + v; -1 refuses. */
  readonly service = column(Int32Array, DESTINATION_SLOTS * 4);
  readonly raceMs = column(Float64Array, DESTINATION_SLOTS);
  readonly timeoutMs = column(Float64Array, DESTINATION_SLOTS);
  readonly learnTtlMs = column(Float64Array, DESTINATION_SLOTS);
  /** Key for what was learned about its server (src/detect/server-first-table.ts); 0 if the listener refuses opaque traffic. */
  readonly learnKey = column(Uint32Array, DESTINATION_SLOTS);

  // For original destinations only. A column is not written until its slot is taken: there are many slots, most of them never used.
  readonly listener = column(Int32Array, DESTINATION_SLOTS);
  readonly port = column(Uint16Array, DESTINATION_SLOTS);
  /** A DESTINATION. */
  readonly state = column(Uint8Array, DESTINATION_SLOTS);
  /** Open connections. */
  readonly users = column(Int32Array, DESTINATION_SLOTS);
  /** When the last of them was closed, ms. */
  readonly lastUsed = column(Float64Array, DESTINATION_SLOTS);
  /** Original destinations in the table. */
  count = 0;
  /** Maximum number of them, at most LOCAL_DESTINATIONS. */
  capacity = LOCAL_DESTINATIONS;

  private readonly words = column(Int32Array, DESTINATION_SLOTS * ADDRESS_WORDS);
  /** Chains of slots with the same hash. The table of hashes holds the first slot plus 1, 0 for none. */
  private readonly chainHead = column(Int32Array, HASH_SLOTS);
  private readonly chainNext = column(Int32Array, DESTINATION_SLOTS);
  /** List of destinations without users, in the order in which they became unused. */
  private readonly idleNext = column(Int32Array, DESTINATION_SLOTS);
  private readonly idlePrev = column(Int32Array, DESTINATION_SLOTS);
  private idleHead = NONE;
  private idleTail = NONE;
  /** Slots that were returned, and the first of those never taken. */
  private readonly free = column(Int32Array, LOCAL_DESTINATIONS);
  private freeCount = 0;
  private fresh = MAX_LISTENERS;
  /** Clients waiting for the answer, per destination, in order of arrival. */
  private readonly waitHead = column(Int32Array, DESTINATION_SLOTS);
  private readonly waitTail = column(Int32Array, DESTINATION_SLOTS);
  private readonly waitNext: Int32Array;
  private readonly waitPrev: Int32Array;
  private readonly waits: Uint8Array;

  /** `sockets`: slots of the socket table. */
  constructor(sockets: number) {
    this.waitNext = column(Int32Array, sockets);
    this.waitPrev = column(Int32Array, sockets);
    this.waits = column(Uint8Array, sockets);
  }

  /** Slots from here on have never been used for an original destination. */
  get end(): number {
    return this.fresh;
  }

  /** Whether the slot is an original destination's rather than a listener's own. */
  isOriginal(slot: number): boolean {
    return slot >= MAX_LISTENERS;
  }

  /** Sets the destination of a listener with its own services. */
  setListener(listener: ListenerSnapshot): void {
    this.assign(listener.slot, listener, listener.services);
  }

  /** Stores the main thread's answer about an original destination; `services` in the order of VERDICTS. */
  setAnswer(slot: number, answer: DestinationSnapshot, services: readonly number[]): void {
    this.assign(slot, answer, services);
    this.state[slot] = DESTINATION.KNOWN;
  }

  /** No answer in time: everything goes to `service`, with the settings known here. */
  setLate(slot: number, listener: ListenerSnapshot, mode: number, reason: number, service: number): void {
    this.assign(slot, { ...listener, mode, reason }, [service, service, service, service]);
    this.state[slot] = DESTINATION.LATE;
  }

  /** The original destination with the address `words`, or -1. */
  find(listener: number, words: Int32Array): number {
    let slot = this.chainHead[bucket(listener, words)] - 1;
    while (slot !== NONE && !this.is(slot, listener, words)) slot = this.chainNext[slot];
    return slot;
  }

  /** Takes a slot for a new original destination, without users; -1 if none is left. */
  add(listener: number, words: Int32Array, port: number, now: number): number {
    if (this.count >= this.capacity) return NONE;
    const slot = this.freeCount > 0 ? this.free[--this.freeCount] : this.fresh++;
    const home = bucket(listener, words);
    this.words.set(words, slot * ADDRESS_WORDS);
    this.listener[slot] = listener;
    this.port[slot] = port;
    this.learnKey[slot] = addressKey(listener, words);
    this.chainNext[slot] = this.chainHead[home] - 1;
    this.chainHead[home] = slot + 1;
    this.waitHead[slot] = NONE;
    this.waitTail[slot] = NONE;
    this.users[slot] = 0;
    this.lastUsed[slot] = now;
    this.state[slot] = DESTINATION.FREE;
    this.service.fill(NONE, slot * 4, slot * 4 + 4);
    this.count++;
    this.linkIdle(slot);
    return slot;
  }

  /** Drops an unused original destination. */
  remove(slot: number): void {
    const words = this.words.subarray(slot * ADDRESS_WORDS, (slot + 1) * ADDRESS_WORDS);
    const home = bucket(this.listener[slot], words);
    let at = this.chainHead[home] - 1;
    if (at === slot) this.chainHead[home] = this.chainNext[slot] + 1;
    else {
      while (this.chainNext[at] !== slot) at = this.chainNext[at];
      this.chainNext[at] = this.chainNext[slot];
    }
    this.unlinkIdle(slot);
    this.state[slot] = DESTINATION.FREE;
    this.listener[slot] = NONE;
    this.count--;
    this.free[this.freeCount++] = slot;
  }

  /** A connection uses it. */
  use(slot: number): void {
    if (this.users[slot]++ === 0) this.unlinkIdle(slot);
  }

  /** The connection of `client` to it has closed. */
  release(slot: number, client: number, now: number): void {
    this.unwait(slot, client);
    if (--this.users[slot] > 0) return;
    this.lastUsed[slot] = now;
    this.linkIdle(slot);
  }

  /** The original destination that has been unused longest, or -1. */
  oldestIdle(): number {
    return this.idleHead;
  }

  /** Queues a client for the answer. */
  wait(slot: number, client: number): void {
    const last = this.waitTail[slot];
    this.waits[client] = 1;
    this.waitPrev[client] = last;
    this.waitNext[client] = NONE;
    if (last === NONE) this.waitHead[slot] = client;
    else this.waitNext[last] = client;
    this.waitTail[slot] = client;
  }

  /** The first client in the queue, or -1. */
  firstWaiting(slot: number): number {
    return this.waitHead[slot];
  }

  /** Removes a client from the queue, if it is in it. */
  unwait(slot: number, client: number): void {
    if (this.waits[client] === 0) return;
    this.waits[client] = 0;
    const next = this.waitNext[client];
    const prev = this.waitPrev[client];
    if (next === NONE) this.waitTail[slot] = prev;
    else this.waitPrev[next] = prev;
    if (prev === NONE) this.waitHead[slot] = next;
    else this.waitNext[prev] = next;
  }

  private assign(
    slot: number,
    from: Pick<DestinationSnapshot, 'mode' | 'reason' | 'raceMs' | 'timeoutMs' | 'learnTtlMs'>,
    services: readonly number[],
  ): void {
    this.mode[slot] = from.mode;
    this.reason[slot] = from.reason;
    for (let verdict = 0; verdict < 4; verdict++) this.service[slot * 4 + verdict] = services[verdict];
    this.raceMs[slot] = from.mode === MODE.DETECT ? from.raceMs : NONE;
    this.timeoutMs[slot] = from.timeoutMs;
    this.learnTtlMs[slot] = from.learnTtlMs;
    if (this.isOriginal(slot)) return;
    const opaque = services[VERDICT.OPAQUE];
    this.learnKey[slot] = opaque < 0 ? 0 : destinationKey(slot, opaque);
  }

  private is(slot: number, listener: number, words: Int32Array): boolean {
    if (this.listener[slot] !== listener) return false;
    const at = slot * ADDRESS_WORDS;
    for (let i = 0; i < ADDRESS_WORDS; i++) if (this.words[at + i] !== words[i]) return false;
    return true;
  }

  private linkIdle(slot: number): void {
    this.idlePrev[slot] = this.idleTail;
    this.idleNext[slot] = NONE;
    if (this.idleTail === NONE) this.idleHead = slot;
    else this.idleNext[this.idleTail] = slot;
    this.idleTail = slot;
  }

  private unlinkIdle(slot: number): void {
    const next = this.idleNext[slot];
    const prev = this.idlePrev[slot];
    if (next === NONE) this.idleTail = prev;
    else this.idlePrev[next] = prev;
    if (prev === NONE) this.idleHead = next;
    else this.idleNext[prev] = next;
  }
}

const bucket = (listener: number, words: Int32Array): number => addressKey(listener, words) & (HASH_SLOTS - 1);
