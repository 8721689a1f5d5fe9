// Which slots of a table are free: in whole runs of them, whose cells nobody needs, and in an order that leaves such runs alone.

/** Puts the free slots among the first `used` into the stack `free`, the lowest on top, and returns how many they are. */
export type SlotOrder = (free: Int32Array, used: number, isFree: (slot: number) => boolean) => number;

/** An order that tells of all runs of at least `minLength` free slots. */
export function freeRuns(minLength: number, report: (from: number, count: number) => void): SlotOrder {
  return (free, used, isFree) => {
    let count = 0;
    let run = 0;
    for (let slot = used - 1; slot >= -1; slot--) {
      if (slot >= 0 && isFree(slot)) {
        free[count++] = slot;
        run++;
      } else {
        if (run >= minLength) report(slot + 1, run);
        run = 0;
      }
    }
    return count;
  };
}
