// Adds up the logs of many proxies by tag.
import type { Histogram } from 'hdr-histogram-js';
import { HistogramFileError } from './log-file.js';
import { type NamedRecording, type Recording, sumOf } from './recording.js';
import { type Unit, unitName } from './units.js';

export interface LogContent {
  readonly file: string;
  readonly recordings: readonly Recording[];
}

export interface Merged {
  readonly recording: Recording;
  /** Remarks for the user. */
  readonly notes: readonly string[];
}

interface Parts {
  readonly like: NamedRecording;
  readonly file: string;
  readonly histograms: Histogram[];
  sum: number;
}

/**
 * One recording, from the first start to the last end. `unit` is the unit of values that do not state theirs. Values of different units can't
 * be added up. Values of different precision can, with the lower precision.
 */
export function mergedLogs(contents: readonly LogContent[], unit: Unit): Merged {
  const byTag = new Map<string, Parts>();
  let startMs = Number.POSITIVE_INFINITY;
  let endMs = 0;
  for (const { file, recordings } of contents)
    for (const recording of recordings) {
      startMs = Math.min(startMs, recording.startMs);
      endMs = Math.max(endMs, recording.endMs);
      for (const found of recording.histograms) add(byTag, file, found.unit === '' ? { ...found, unit } : found);
    }
  if (byTag.size === 0) throw new HistogramFileError('there is no interval in them');
  const notes: string[] = [];
  const histograms = [...byTag].map(([tag, { like, histograms: parts, sum }]): NamedRecording => {
    const digits = new Set(parts.map((part) => part.numberOfSignificantValueDigits));
    if (digits.size > 1)
      notes.push(
        `${tag || 'values without a tag'}: some have ${Math.max(...digits)} significant digits, others ${Math.min(...digits)}; the sum has ${Math.min(...digits)}`,
      );
    return { ...like, histogram: sumOf(parts), sum };
  });
  return { recording: { startMs, endMs, histograms }, notes };
}

function add(byTag: Map<string, Parts>, file: string, found: NamedRecording): void {
  const parts = byTag.get(found.id);
  if (parts === undefined) {
    byTag.set(found.id, { like: found, file, histograms: [found.histogram], sum: found.sum });
    return;
  }
  if (parts.like.unit !== found.unit)
    throw new HistogramFileError(
      `${file}: values of ${found.id || 'no tag'} are ${unitName(found.unit)}, those of ${parts.file} ${unitName(parts.like.unit)}: they can't be added up. ` +
        'Where a file does not say what its values are, --unit does',
    );
  parts.histograms.push(found.histogram);
  parts.sum += found.sum;
}
