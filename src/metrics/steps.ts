// Work of the main thread that may stop after each step: done at once, or in pieces with a turn of the event loop between them, so that
// nothing else waits for long.
import { setImmediate as nextTurn } from 'node:timers/promises';

/** A step is at most a tenth of a millisecond or so: a series that is read, or one that is encoded. */
export type Steps<Result> = Generator<void, Result>;

/** Steps of a piece. */
export const STEPS_PER_PIECE = 20;

export function atOnce<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const next = steps.next();
    if (next.done === true) return next.value;
  }
}

/** `turn` lets the event loop turn. */
export async function inPieces<Result>(steps: Steps<Result>, turn: () => Promise<unknown> = nextTurn): Promise<Result> {
  for (let taken = 1; ; taken++) {
    const next = steps.next();
    if (next.done === true) return next.value;
    if (taken % STEPS_PER_PIECE === 0) await turn();
  }
}
