// What a worker leaves to V8's compilers. They run in the background (background-threads.ts), so a worker that is saturated leaves them
// nothing, and would run unoptimised code for as long as it is. When they have work and make no progress, it rests a little now and then:
// often and briefly, because requests wait meanwhile.
import type { Native } from '../io/native.js';

/** One rest, µs, and how often there is one, ms: two fifths of the worker's time. */
export const REST_US = 800;
export const REST_EVERY_MS = 2;
const REST_SHARE = REST_US / 1000 / REST_EVERY_MS;
/** Compilers that get less of a core than this are starved. */
const STARVED_SHARE = 0.2;
/**
 * All rests together, ms, and how much of it comes back with time. Rests do not help where another process takes the core, so they end:
 * then they cost one per cent of the worker's time at most.
 */
const CREDIT_MS = 1000;
const CREDIT_BACK = 0.01;
/** How often they are checked, ms: they have work for a while, or have had none for a second. */
const CHECK_MS = 20;
const SELDOM_CHECK_MS = 250;
const QUIET_MS = 1000;

export class CompilerShare {
  /** Whether the worker is to rest. */
  resting = false;
  /** When the next check is due, ms. */
  at = 0;
  private busyAt = 0;
  private checkedAt = 0;
  private usedUs = 0;
  private credit = CREDIT_MS;

  constructor(
    private readonly native: Pick<Native, 'threadCpu' | 'threadRunnable'>,
    private readonly compilers: readonly number[],
  ) {}

  /** Called with the time in ms, once it is due and there is activity. */
  check(now: number): void {
    const { native } = this;
    const elapsed = now - this.checkedAt;
    let busy = false;
    let used = 0;
    for (const tid of this.compilers) {
      if (native.threadRunnable(tid) === 1) busy = true;
      used += native.threadCpu(tid);
    }
    const starved = used - this.usedUs < elapsed * 1000 * STARVED_SHARE;
    const spent = this.resting ? elapsed * REST_SHARE : 0;
    this.credit = Math.min(CREDIT_MS, this.credit + elapsed * CREDIT_BACK) - spent;
    if (busy || this.checkedAt === 0) this.busyAt = now;
    this.at = now + (now < this.busyAt + QUIET_MS ? CHECK_MS : SELDOM_CHECK_MS);
    this.checkedAt = now;
    this.usedUs = used;
    // Once begun, it goes on until they have nothing to do.
    this.resting = busy && this.credit > 0 && (this.resting || starved);
  }
}
