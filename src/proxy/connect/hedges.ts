// Hedged connects: a slow dial is raced by a second one to another endpoint. The caller of the first does not know of the second until that
// one wins. The loser is closed; being slower is neither a failure nor a success of its endpoint.
import { column } from '../../http/columns.js';
import type { SocketSlot } from '../slots.js';

const ROLE = { ALONE: 0, FIRST: 1, SECOND: 2 } as const;

/** So long a second dial is requested again and again; then the first one waits alone. */
const MAX_DELAYS = 255;

export class Hedges {
  /** The other dial plus 1; 0: none. */
  private readonly other: Int32Array;
  private readonly role: Uint8Array;
  /** 1 once there was a second dial, or if there is to be none. */
  private readonly requested: Uint8Array;
  /** Delays that have passed when a second dial was last requested in vain. */
  private readonly passed: Uint8Array;

  constructor(sockets: number) {
    this.other = column(Int32Array, sockets);
    this.role = column(Uint8Array, sockets);
    this.requested = column(Uint8Array, sockets);
    this.passed = column(Uint8Array, sockets);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.other, this.role, this.requested, this.passed];
  }

  /** A dial begins. */
  reset(socket: SocketSlot): void {
    this.other[socket] = 0;
    this.role[socket] = ROLE.ALONE;
    this.requested[socket] = 0;
    this.passed[socket] = 0;
  }

  /** Whether a second dial may still be requested. */
  allowed(socket: SocketSlot): boolean {
    return this.requested[socket] === 0;
  }

  request(socket: SocketSlot): void {
    this.requested[socket] = 1;
  }

  /** No endpoint can be dialled at the moment, after so many delays; later one may. */
  postpone(socket: SocketSlot, delays: number): void {
    if (delays <= MAX_DELAYS) this.passed[socket] = delays;
    else this.requested[socket] = 1;
  }

  /** When a second dial is due: after so many delays. */
  delays(socket: SocketSlot): number {
    return 1 + this.passed[socket];
  }

  join(first: SocketSlot, second: SocketSlot): void {
    this.other[first] = second + 1;
    this.other[second] = first + 1;
    this.role[first] = ROLE.FIRST;
    this.role[second] = ROLE.SECOND;
    // Once alone, it has a deadline of its own.
    this.requested[second] = 1;
  }

  /** The dial racing this one, or -1. */
  rival(socket: SocketSlot): SocketSlot | -1 {
    return (this.other[socket] - 1) as SocketSlot | -1;
  }

  isSecond(socket: SocketSlot): boolean {
    return this.role[socket] === ROLE.SECOND;
  }

  /** Ends the race: each is on its own. */
  separate(socket: SocketSlot): void {
    const other = this.other[socket] - 1;
    this.other[socket] = 0;
    this.role[socket] = ROLE.ALONE;
    if (other < 0) return;
    this.other[other] = 0;
    this.role[other] = ROLE.ALONE;
    this.requested[other] = 0;
  }
}
