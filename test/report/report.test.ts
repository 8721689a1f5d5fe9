// What is made of the raw figures: the page, the table, files for other tools.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { HistogramLogReader } from 'hdr-histogram-js';
import { benchReportCommand } from '../../src/cli/bench-report.js';
import { UsageError } from '../../src/cli/usage.js';
import { parseResult, ResultFileError } from '../../src/harness/result-file.js';
import { hgrmFiles, histogramLog } from '../../src/report/histogram-files.js';
import { markdown } from '../../src/report/markdown.js';
import { overview } from '../../src/report/overview.js';
import { page } from '../../src/report/page.js';
import { percentilePlot } from '../../src/report/percentile-plot.js';
import { linear, logarithmic, time } from '../../src/report/scale.js';
import { exampleResult } from './example.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-report-'));
after(() => rmSync(directory, { recursive: true }));

describe('the page', () => {
  const html = page(exampleResult());

  it('needs nothing else', () => {
    assert.doesNotMatch(html, /<script|<link|<img|@import|url\(|\bsrc=|https?:\/\/(?!www\.w3\.org)/);
  });

  it('shows what others have written as text', () => {
    assert.ok(html.includes('&#60;script&#62;alert(1)'));
    assert.ok(html.includes('A &#60;b&#62;fast'));
  });

  it('names each subject, those too that were skipped or died, and says how they compare', () => {
    for (const said of [
      'sluice-uring',
      'rival',
      'absent',
      'skipped: not installed',
      'failed: ended by SIGSEGV in round 2',
      '0.50 × rival (0.45 to 0.55)',
    ])
      assert.ok(html.includes(said), said);
  });

  it('has a picture of costs, of percentiles, of rates and of time, each with words for those who do not see it', () => {
    const labels = [...html.matchAll(/<svg [^>]*aria-label="([^"]*)"/g)].map(([, label]) => label);
    for (const what of [/^CPU per request/, /^p99 of the latency/, /^highest rate/, /over time$/])
      assert.ok(
        labels.some((label) => what.test(label)),
        String(what),
      );
  });

  it('says what was not as it should be', () => {
    assert.match(page({ ...exampleResult(), notes: ['one <core> for all'] }), /one &#60;core&#62; for all/);
  });

  it('is dark where the reader wants it, and light on paper', () => {
    assert.match(html, /@media screen and \(prefers-color-scheme: dark\)/);
    assert.match(html, /@media print/);
    assert.match(html, /name="viewport"/);
  });

  it('says so where nothing was measured', () => {
    assert.match(page({ ...exampleResult(), scenarios: [] }), /No scenario was measured/);
  });
});

describe('the overview', () => {
  it('has a panel for each scenario that was measured', () => {
    const [scenario] = exampleResult().scenarios;
    const two = { ...exampleResult(), scenarios: [scenario, { ...scenario, name: 'h2', title: 'HTTP/2' }] };
    const svg = overview(two).toString();
    assert.equal(svg.match(/<svg /g)?.length, 3);
    assert.match(svg, />HTTP\/2</);
    assert.match(overview({ ...two, scenarios: [] }).toString(), /nothing was measured/);
  });
});

describe('the table', () => {
  it('has a row for each subject, and nothing that breaks it', () => {
    const lines = markdown(exampleResult()).split('\n');
    const rows = lines.filter((line) => line.startsWith('|'));
    assert.equal(rows.length, 2 + 4);
    for (const row of rows) assert.equal(row.replaceAll('\\|', '').split('|').length, rows[0].split('|').length, row);
  });
});

describe('the report of a search for a rate', () => {
  const example = exampleResult();
  const [scenario] = example.scenarios;
  const [found, rival] = scenario.subjects;
  const points = found.curve.map((point) => ({ ...point, wantedRate: point.wantedRate * 1000 }));
  const search = {
    ...example,
    scenarios: [
      {
        ...scenario,
        subjects: [
          { ...found, samples: [], ratios: [], curve: points.toReversed(), saturation: 100_000 },
          { ...rival, samples: [], skipped: 'not installed' },
        ],
      },
    ],
  };

  it('has every rate that was tried, and no table of samples that there are none of', () => {
    const text = markdown(search);
    assert.match(text, /holds its limit up to 100,000\/s\.$/m);
    assert.match(text, /each rate by itself/);
    assert.match(text, /^rival: skipped: not installed\.$/m);
    assert.doesNotMatch(text, /no samples/);
    const rows = text.split('\n').filter((line) => line.startsWith('|'));
    assert.deepEqual(
      rows.slice(2).map((row) => [row.split(' | ')[0], row.split(' | ').at(-1)]),
      [
        ['| 100,000', 'yes |'],
        ['| 200,000', 'no |'],
      ],
    );
    for (const row of rows) assert.equal(row.split('|').length, rows[0].split('|').length, row);
    const html = page(search);
    assert.doesNotMatch(html, /no samples/);
    assert.match(html, /rival: skipped: not installed/);
  });
});

describe('histograms for other tools', () => {
  it('are percentiles of all rounds, in milliseconds', () => {
    const files = new Map(hgrmFiles(exampleResult()));
    assert.deepEqual([...files.keys()], ['h1.sluice-uring.hgrm', 'h1.rival.hgrm', 'h1.mortal.hgrm']);
    assert.match(files.get('h1.sluice-uring.hgrm') ?? '', /Total count\s+=\s+2000/);
  });

  it('are a log of all intervals', () => {
    const reader = new HistogramLogReader(histogramLog(exampleResult()));
    const tags: string[] = [];
    for (let one = reader.nextIntervalHistogram(); one !== null; one = reader.nextIntervalHistogram()) {
      assert.equal(one.totalCount, 500);
      tags.push(one.tag);
    }
    assert.equal(tags.filter((tag) => tag === 'h1.rival').length, 4);
  });
});

describe('axes', () => {
  it('begin and end where the values do, or beyond', () => {
    assert.deepEqual(linear(9.3, 0, 100).ticks, [0, 2, 4, 6, 8, 10]);
    assert.equal(linear(9.3, 0, 100).at(5), 50);
    assert.deepEqual(logarithmic(3, 800, 100, 0).ticks, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]);
    assert.equal(logarithmic(1, 100, 100, 0).at(10), 50);
    for (const largest of [0, Number.NaN, Number.POSITIVE_INFINITY])
      assert.ok(Number.isFinite(linear(largest, 0, 10).at(1)));
  });

  it('write times with their unit', () => {
    assert.deepEqual([85, 1250, 3e6, 0.4, Number.NaN].map(time), ['85 µs', '1.25 ms', '3 s', '0.4 µs', '–']);
  });

  it('of percentiles give each nine the same room', () => {
    const points = [0, 0.9, 0.99, 0.999].map((quantile): [number, number] => [quantile, 10]);
    const svg = percentilePlot([{ name: 'a', count: 1000, points }], { title: 't' }).toString();
    const [first, second, third, fourth] = (/<polyline points="([^"]*)"/.exec(svg)?.[1] ?? '')
      .split(' ')
      .map((point) => Number(point.split(',')[0]));
    assert.ok(
      Math.abs(second - first - (third - second)) < 0.1 && Math.abs(third - second - (fourth - third)) < 0.1,
      svg,
    );
  });
});

describe('a result in a file', () => {
  const json = JSON.stringify(exampleResult());

  it('is read as it was written', () => {
    assert.deepEqual(parseResult(json, 'a.json'), exampleResult());
  });

  for (const [what, bad, says] of [
    ['is empty', '', /a\.json: the file is empty/],
    ['was cut off', json.slice(0, 500), /a\.json: it is not valid JSON, or was cut off/],
    ['is something else', '{"a":1}', /not a result of `sluice bench matrix`/],
    ['is of another version', json.replace('"version":1', '"version":2'), /version 2 are not known/],
    ['lacks something', json.replace('"rounds":2,', ''), /a\.json: rounds/],
    [
      'has text for a figure',
      json.replace('"cpuUs":5,', '"cpuUs":"5",'),
      /scenarios\.0\.subjects\.0\.samples\.0\.cpuUs/,
    ],
  ] as const)
    it(`that ${what} is refused, and the place is named`, () => {
      assert.throws(
        () => parseResult(bad, 'a.json'),
        (error) => error instanceof ResultFileError && says.test(error.message),
      );
    });
});

describe('sluice bench report', () => {
  const result = join(directory, 'result.json');

  it('writes all of it, and nothing over what is there', async () => {
    writeFileSync(result, JSON.stringify(exampleResult()));
    const out = join(directory, 'out');
    assert.equal(await benchReportCommand.run([result, '--out', out]), 0);
    for (const name of ['report.html', 'report.md', 'overview.svg', 'latency.hlog', 'h1.rival.hgrm'])
      assert.ok(existsSync(join(out, name)), name);
    const before = readFileSync(join(out, 'report.html'));
    await assert.rejects(benchReportCommand.run([result, '--out', out]), UsageError);
    assert.equal(await benchReportCommand.run([result, '--out', out, '--force']), 0);
    assert.deepEqual(readFileSync(join(out, 'report.html')), before);
  });

  it('says which file it cannot read', async () => {
    await assert.rejects(benchReportCommand.run([join(directory, 'absent.json')]), /absent\.json: cannot be read/);
    await assert.rejects(benchReportCommand.run([]), UsageError);
  });
});
