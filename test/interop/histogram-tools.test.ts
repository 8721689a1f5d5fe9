// Logs go from here to HdrHistogram's own libraries and back, and lose nothing.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { logText, parseLog } from '../../src/histograms/log-file.js';
import {
  bucketsIn,
  emptyHistogram,
  type NamedRecording,
  type Recording,
  sumOf,
} from '../../src/histograms/recording.js';
import { run } from '../support/servers.js';
import { lackingTool, relog, toolFolder } from './tools.js';

const TEST_MS = 60_000;
const directory = mkdtempSync(join(tmpdir(), 'sluice-hdr-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const START = 1_700_000_000_000;

/** From 0 to the end of the range, with counts beyond 32 bits. */
function recorded(id: string, seed: number): NamedRecording {
  const histogram = emptyHistogram(2);
  let sum = 0;
  for (let step = 0; step < 300; step++) {
    const value = Math.floor(2 ** ((step * seed * 7.3) % 31)) - 1;
    const count = step % 50 === 0 ? 5_000_000_000 + step : 1 + (step % 7);
    histogram.recordValueWithCount(value, count);
    sum += value * count;
  }
  return { id, kind: 'service', name: 'response_latency_us', labels: {}, unit: 'us', histogram, sum };
}

const recordings: Recording[] = [1, 2, 3].map((seed) => ({
  startMs: START + seed * 1000,
  endMs: START + seed * 1000 + 1000,
  histograms: [
    recorded('service.web.response_latency_us', seed),
    recorded('route.web.read.success.response_latency_us', seed + 3),
  ],
}));
const all = recordings.flatMap(({ histograms }) => histograms);
const log = join(directory, 'in.hlog');
writeFileSync(log, logText(recordings));

interface Said {
  readonly tag: string;
  readonly count: number;
  readonly max: number;
  readonly p50: number;
}

for (const tool of ['java', 'go', 'python'] as const) {
  describe(`HdrHistogram in ${tool}`, { timeout: TEST_MS, skip: lackingTool(tool) }, () => {
    it('reads our logs, and we read what it makes of them', async () => {
      const out = join(directory, `${tool}.hlog`);
      const [program, ...args] = relog(tool);
      const { code, stdout, stderr } = await run(program, [...args, log, out]);
      assert.equal(code, 0, stderr);
      const said = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Said);
      assert.deepEqual(
        said.map(({ tag, count, max, p50 }) => ({ tag, count, max, p50 })),
        all.map(({ id, histogram }) => ({
          tag: id,
          count: histogram.totalCount,
          max: bucketsIn(histogram).at(-1)?.highest,
          p50: histogram.getValueAtPercentile(50),
        })),
      );
      const back = parseLog(readFileSync(out, 'utf8'), out).flatMap(({ histograms }) => histograms);
      assert.equal(back.length, all.length);
      const together = (parts: readonly NamedRecording[]) => bucketsIn(sumOf(parts.map(({ histogram }) => histogram)));
      assert.deepEqual(together(back), together(all));
    });
  });
}

it("HdrHistogram's HistogramLogProcessor reads a tag of our logs", {
  timeout: TEST_MS,
  skip: lackingTool('java'),
}, async () => {
  const args = ['-i', log, '-tag', 'service.web.response_latency_us', '-outputValueUnitRatio', '1000'];
  const path = `${toolFolder('java')}/lib/*`;
  const { code, stdout, stderr } = await run('java', ['-cp', path, 'org.HdrHistogram.HistogramLogProcessor', ...args]);
  assert.equal(code, 0, stderr);
  const wanted = all
    .filter(({ id }) => id.startsWith('service.'))
    .reduce((sum, { histogram }) => sum + histogram.totalCount, 0);
  assert.match(stdout, new RegExp(`Total count +=? *${wanted}\\]`));
});
