// Loaded into each thread of the process that is looked at (--import): says what V8 has there, once.
import { writeSync } from 'node:fs';
import { getHeapSpaceStatistics } from 'node:v8';
import { threadId } from 'node:worker_threads';

/** How its lines begin. */
export const PROBE = 'memory-probe ';

export interface HeapReport {
  readonly thread: number;
  /** KiB that are committed and touched, and KiB in use, by V8's space. */
  readonly spaces: readonly (readonly [name: string, physical: number, used: number])[];
}

const { MEMORY_PROBE_MS } = process.env;
if (MEMORY_PROBE_MS !== undefined) {
  const report = (): void => {
    const spaces = getHeapSpaceStatistics().map(
      ({ space_name, physical_space_size, space_used_size }) =>
        [space_name, physical_space_size >> 10, space_used_size >> 10] as const,
    );
    const said: HeapReport = { thread: threadId, spaces };
    writeSync(2, `${PROBE}${JSON.stringify(said)}\n`);
  };
  setTimeout(report, Number(MEMORY_PROBE_MS)).unref();
}
