// When V8 takes a function for one that is worth optimising. A rehearsal asks for it earlier than V8 would by itself: it has seen all kinds
// of messages by then, and has little CPU time.
import { setFlagsFromString } from 'node:v8';

interface Threshold {
  readonly flag: string;
  /** V8's own value. */
  readonly standard: number;
  readonly early: number;
}

/** Bytecode that a function runs through in between two looks at it. */
const BUDGET: readonly Threshold[] = [{ flag: 'interrupt-budget', standard: 67584, early: 16384 }];
/** V8 counts calls since Node.js 22. Its middle compiler is in use since Node.js 24. */
const COUNTS: readonly Threshold[] = [
  { flag: 'invocation-count-for-maglev', standard: 400, early: 100 },
  { flag: 'invocation-count-for-turbofan', standard: 3000, early: 400 },
  { flag: 'minimum-invocations-after-ic-update', standard: 500, early: 100 },
];

/** Of a V8 of this version, such as `11.3.244.8-node.38`. */
export const thresholds = (v8: string): readonly Threshold[] => (Number.parseInt(v8, 10) < 12 ? BUDGET : COUNTS);

/** For the whole process, as all flags are. */
export function setEarlyTiering(early: boolean): void {
  for (const each of thresholds(process.versions.v8))
    setFlagsFromString(`--${each.flag}=${early ? each.early : each.standard}`);
}
