// Asks a proxy once, or repeatedly until Ctrl-C, and writes the histograms.
import { setTimeout as sleep } from 'node:timers/promises';
import { suggest } from '../config/suggest.js';
import { type AdminAddress, AdminError, askAdmin, since } from '../histograms/admin-source.js';
import type { Recording } from '../histograms/recording.js';
import type { Rendering } from '../histograms/rendering.js';
import type { Format } from '../histograms/renderings.js';
import { type Output, OutputError, standardOutput } from './output-file.js';
import { EXIT_FAILURE, printError } from './usage.js';

export interface HistogramsRequest {
  readonly from: AdminAddress;
  readonly format: Format;
  /** Null: totals, once. */
  readonly intervalMs: number | null;
  readonly count: number;
  readonly out: string | null;
  readonly force: boolean;
  readonly patterns: readonly string[];
}

/** The histograms that match the patterns; all if there are none. `wanted`: each pattern must match one. */
export function selected(recording: Recording, patterns: readonly string[], wanted: boolean): Recording {
  if (patterns.length === 0) return recording;
  const tests = patterns.map((pattern) => {
    const parts = pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    return new RegExp(`^${parts.join('.*')}$`);
  });
  const ids = recording.histograms.map(({ id }) => id);
  const missing = patterns.find((_, index) => !ids.some((id) => tests[index].test(id)));
  if (wanted && missing !== undefined)
    throw new Error(
      ids.length === 0
        ? `nothing was recorded yet, and so there is no ${missing}`
        : `no histogram ${missing} in which something was recorded; ${suggest(missing, ids)}`,
    );
  return { ...recording, histograms: recording.histograms.filter(({ id }) => tests.some((test) => test.test(id))) };
}

/** Writes the text. If that fails, says why, prints the text on standard output so that it isn't lost, and returns false. */
async function written(text: string, output: Output): Promise<boolean> {
  if (text === '') return true;
  try {
    await output.write(text);
    return true;
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    printError(`sluice histograms: ${error.message}${output === standardOutput ? '' : '; here it is instead:'}`);
    if (output !== standardOutput) await standardOutput.write(text).catch(() => undefined);
    return false;
  }
}

export async function follow(asked: HistogramsRequest, rendering: Rendering, output: Output): Promise<number> {
  const first = await askAdmin(asked.from);
  if (asked.intervalMs === null) {
    const done = await tell(selected(first, asked.patterns, true), rendering, output);
    return done && (await rendering.end()) ? 0 : EXIT_FAILURE;
  }
  selected(first, asked.patterns, false);
  const interrupted = new AbortController();
  const stop = (): void => interrupted.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  try {
    return await intervals(asked, asked.intervalMs, first, rendering, output, interrupted.signal);
  } finally {
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

const tell = async (recording: Recording, rendering: Rendering, output: Output): Promise<boolean> =>
  written(await rendering.next(recording), output);

/** The intervals from `first` on. The last one is shorter if interrupted. */
async function intervals(
  asked: HistogramsRequest,
  everyMs: number,
  first: Recording,
  rendering: Rendering,
  output: Output,
  signal: AbortSignal,
): Promise<number> {
  let before = first;
  let failing = false;
  const startedMs = performance.now();
  for (let number = 1; number <= asked.count && !signal.aborted; number++) {
    // Relative to the start, so that intervals do not drift.
    const waitMs = Math.max(0, startedMs + number * everyMs - performance.now());
    // An interruption rejects; the loop condition ends the loop.
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    try {
      const now = await askAdmin(asked.from);
      if (failing) printError(`sluice histograms: it answers again`);
      failing = false;
      const part = selected(since(before, now), asked.patterns, false);
      before = now;
      if (!(await tell(part, rendering, output))) return EXIT_FAILURE;
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      // A proxy that restarts comes back. What has arrived until then is written.
      if (!failing) printError(`sluice histograms: ${error.message}; trying again`);
      failing = true;
    }
  }
  const ended = await rendering.end();
  return failing || !ended ? EXIT_FAILURE : 0;
}
