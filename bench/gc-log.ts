// V8's log of collections (--trace-gc), by isolate: how often, and how much was allocated between them.

export interface Collections {
  scavenges: number;
  /** Collections of the old generation. */
  marks: number;
  /** MB that became garbage or survived: what each collection found more than the one before had left. */
  allocated: number;
  /** Time spent, ms. */
  paused: number;
}

interface Isolate {
  left: number | null;
  collections: Collections;
}

// [pid:0xisolate]  84 ms: Scavenge 4.2 (4.5) -> 3.7 (5.5) MB, 2.38 / 0.01 ms …
const LINE =
  /^\[\d+:(0x[0-9a-f]+)(?::\d+)?\]\s+\d+ ms: (\S+)[^\d]* ([\d.]+) \([\d.]+\) -> ([\d.]+) \([\d.]+\) MB(?:, pooled: [\d.]+ MB)?, ([\d.]+) /;

const none = (): Collections => ({ scavenges: 0, marks: 0, allocated: 0, paused: 0 });

/** Reads the log as it comes, in pieces of any size. Figures are since the last `restart`. */
export class GcLog {
  readonly #isolates = new Map<string, Isolate>();
  #rest = '';

  feed(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  /** Forgets the figures; what the last collections left stays known. */
  restart(): void {
    for (const isolate of this.#isolates.values()) isolate.collections = none();
  }

  /** By isolate, in the order of their first collection: the main thread's comes first. */
  collections(): readonly Collections[] {
    return [...this.#isolates.values()].map(({ collections }) => collections);
  }

  #line(line: string): void {
    const match = LINE.exec(line);
    if (!match) return;
    const [, name, kind] = match;
    const [before, after, paused] = match.slice(3).map(Number);
    const isolate = this.#isolates.get(name) ?? { left: null, collections: none() };
    this.#isolates.set(name, isolate);
    if (kind === 'Scavenge') isolate.collections.scavenges++;
    else isolate.collections.marks++;
    isolate.collections.allocated += isolate.left === null ? 0 : Math.max(0, before - isolate.left);
    isolate.collections.paused += paused;
    isolate.left = after;
  }
}
