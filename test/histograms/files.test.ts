// Files of histograms: what is written can be read again, and what is cut, foreign or of another kind is refused with its place.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { deflateSync, inflateSync } from 'node:zlib';
import fc from 'fast-check';
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64, HistogramLogReader } from 'hdr-histogram-js';
import { parseHgrm } from '../../src/histograms/hgrm-file.js';
import { logText, parseLog } from '../../src/histograms/log-file.js';
import { mergedLogs } from '../../src/histograms/merge.js';
import { readHistogramFile } from '../../src/histograms/read-file.js';
import { bucketsIn, emptyHistogram, type NamedRecording, type Recording } from '../../src/histograms/recording.js';
import { hgrmOf, jsonOf, table } from '../../src/histograms/render.js';
import { decodeV2, encodeV2 } from '../../src/histograms/v2.js';
import { runs } from '../support/runs.js';

function recorded(id: string, values: readonly number[], digits = 2, unit = 'us'): NamedRecording {
  const histogram = emptyHistogram(digits);
  for (const value of values) histogram.recordValue(value);
  const sum = values.reduce((total, value) => total + value, 0);
  return { id, kind: 'service', name: 'response_latency_us', labels: {}, unit, histogram, sum };
}

const at = (startMs: number, endMs: number, ...histograms: NamedRecording[]): Recording => ({
  startMs,
  endMs,
  histograms,
});
const ID = 'service.web.response_latency_us';
const T = 1_700_000_000_000;
/** What was compressed in the field of a log, and the field made of something else. */
const within = (field: string): Buffer => inflateSync(Buffer.from(field, 'base64').subarray(8));
function around(octets: Buffer, cookie = 0x1c849314): string {
  const content = deflateSync(octets);
  const outer = Buffer.alloc(8);
  outer.writeUInt32BE(cookie, 0);
  outer.writeUInt32BE(content.length, 4);
  return Buffer.concat([outer, content]).toString('base64');
}

describe('V2', () => {
  it('is what hdr-histogram-js reads, and reads what it writes', () => {
    const values = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: 1, max: 2 ** 45 })));
    fc.assert(
      fc.property(values, fc.integer({ min: 1, max: 4 }), (pairs, digits) => {
        const histogram = emptyHistogram(digits);
        for (const [value, count] of pairs) histogram.recordValueWithCount(value, count);
        const wanted = bucketsIn(histogram);
        assert.deepEqual(bucketsIn(decodeFromCompressedBase64(encodeV2(histogram), 64, false)), wanted);
        assert.deepEqual(bucketsIn(decodeV2(encodeV2(histogram))), wanted);
        assert.deepEqual(bucketsIn(decodeV2(encodeIntoCompressedBase64(histogram))), wanted);
      }),
      { numRuns: runs(60) },
    );
  });

  it('knows a lowest value above 1', () => {
    const histogram = build({
      lowestDiscernibleValue: 1000,
      highestTrackableValue: 1e9,
      numberOfSignificantValueDigits: 3,
    });
    for (const value of [1000, 123_000, 999_000_000]) histogram.recordValue(value);
    const field = encodeIntoCompressedBase64(histogram);
    assert.deepEqual(bucketsIn(decodeV2(field)), bucketsIn(decodeFromCompressedBase64(field, 64, false)));
  });

  it('refuses other versions by name, and what is cut or none', () => {
    const field = encodeV2(recorded(ID, [1, 20, 300]).histogram);
    const octets = within(field);
    const changed = (change: (copy: Buffer) => void): string => {
      const copy = Buffer.from(octets);
      change(copy);
      return around(copy);
    };
    for (const [wrong, why] of [
      [around(octets, 0x1c849309), /of version V0, and V2 is read here/],
      [around(octets, 0x1c849322), /of version V1/],
      [changed((copy) => copy.writeUInt32BE(0x1c849301, 0)), /of version V1/],
      [around(octets, 0x12345678), /not a histogram of HdrHistogram/],
      [field.slice(0, 40), /cut/],
      [field.slice(0, 41), /base64 is cut/],
      ['', /base64 is cut/],
      [around(octets.subarray(0, 20)), /header is cut/],
      [around(octets.subarray(0, octets.length - 2)), /counts are cut/],
      [changed((copy) => copy.writeUInt32BE(9, 12)), /9 significant digits/],
      [changed((copy) => copy.writeBigInt64BE(0n, 16)), /lowest value/],
      [changed((copy) => copy.writeUInt32BE(7, 8)), /shifted/],
      [changed((copy) => copy.fill(0xff, 40)), /end within a number|beyond 2\^53/],
    ] as const)
      assert.throws(() => decodeV2(wrong), why);
  });

  it('never does anything else with octets that are no histogram', () => {
    const octets = within(encodeV2(recorded(ID, [1, 20, 300, 4000, 50_000]).histogram));
    fc.assert(
      fc.property(fc.nat(octets.length - 1), fc.nat(255), (place, octet) => {
        const copy = Buffer.from(octets);
        copy[place] = octet;
        try {
          decodeV2(around(copy));
        } catch (error) {
          assert.equal(error instanceof Error && error.constructor.name, 'EncodingError');
        }
      }),
      { numRuns: runs(300) },
    );
  });
});

describe('logs', () => {
  const text = logText([
    at(T, T + 10_000, recorded(ID, [100, 200]), recorded('worker.0.h2_connection_streams', [7], 2, 'streams')),
    at(T + 10_000, T + 20_000, recorded(ID, [300])),
  ]);

  it('come back as they went out, with times, tags and units', () => {
    const back = parseLog(text, 'x.hlog');
    assert.deepEqual(
      back.map(({ startMs, endMs, histograms: [{ id, unit, kind, name, histogram }] }) => ({
        startMs,
        endMs,
        id,
        unit,
        kind,
        name,
        count: histogram.totalCount,
      })),
      [
        { startMs: T, endMs: T + 10_000, id: ID, unit: 'us', kind: 'service', name: 'response_latency_us', count: 2 },
        {
          startMs: T,
          endMs: T + 10_000,
          id: 'worker.0.h2_connection_streams',
          unit: 'streams',
          kind: 'worker',
          name: 'h2_connection_streams',
          count: 1,
        },
        {
          startMs: T + 10_000,
          endMs: T + 20_000,
          id: ID,
          unit: 'us',
          kind: 'service',
          name: 'response_latency_us',
          count: 1,
        },
      ],
    );
  });

  it('are read by hdr-histogram-js, with their times', () => {
    const reader = new HistogramLogReader(text, 64);
    const first = reader.nextIntervalHistogram();
    assert.ok(first !== null);
    assert.equal(first.tag, ID);
    assert.equal(first.totalCount, 2);
    assert.equal(first.startTimeStampMsec, T);
    assert.equal(first.endTimeStampMsec, T + 10_000);
  });

  it('that are cut, foreign or of another version are refused with their place', () => {
    const lines = text.trimEnd().split('\n');
    assert.throws(
      () => parseLog(text.slice(0, -30), 'cut.hlog'),
      /^Error: cut\.hlog:7: .*\(the last line: the file may be cut\)$/,
    );
    assert.throws(() => parseLog([...lines, 'what is this'].join('\n'), 'a.hlog'), /a\.hlog:8: it has fewer fields/);
    assert.throws(
      () => parseLog([...lines, 'x,y,z,AAAA'].join('\n'), 'a.hlog'),
      /a\.hlog:8: its times are not numbers/,
    );
    const contrary = text.replace('#[Histogram log format version 1.3]', '$&\n#[Values are milliseconds]');
    assert.throws(
      () => parseLog(contrary.replaceAll('#[Values are microseconds]\n', ''), 'a.hlog'),
      /a\.hlog:\d+: its head says that values are milliseconds, and its tag \S+_us that they are microseconds/,
    );
    const other = text.replace('version 1.3', 'version 2.0');
    assert.throws(() => parseLog(other, 'a.hlog'), /a\.hlog:1: its format is version 2\.0, and 1\.x is read here/);
  });
});

describe('merging', () => {
  const content = (file: string, ...histograms: NamedRecording[]) => ({
    file,
    recordings: parseLog(logText([at(T, T + 1000, ...histograms)]), file),
  });

  it('adds up what one histogram would have recorded', () => {
    const all = [5, 50, 500, 5000, 50_000];
    const { recording } = mergedLogs(
      [content('a', recorded(ID, all.slice(0, 2))), content('b', recorded(ID, all.slice(2)))],
      '',
    );
    assert.deepEqual(bucketsIn(recording.histograms[0].histogram), bucketsIn(recorded(ID, all).histogram));
    assert.deepEqual([recording.startMs, recording.endMs], [T, T + 1000]);
  });

  it('has the lower precision of two, and says so', () => {
    const { recording, notes } = mergedLogs(
      [content('a', recorded(ID, [123_456], 3)), content('b', recorded(ID, [123_456], 2))],
      '',
    );
    assert.equal(recording.histograms[0].histogram.numberOfSignificantValueDigits, 2);
    assert.equal(recording.histograms[0].histogram.totalCount, 2);
    assert.deepEqual(notes, [`${ID}: some have 3 significant digits, others 2; the sum has 2`]);
  });

  it('does not add milliseconds to microseconds, nor what is unknown', () => {
    const plain = (unit: string) => content('b', { ...recorded('x', [1]), id: 'x', unit });
    assert.throws(
      () => mergedLogs([content('a', { ...recorded('x', [1]), unit: 'us' }), plain('ms')], ''),
      /b: values of x are milliseconds, those of a microseconds: they can't be added up/,
    );
    assert.throws(
      () => mergedLogs([content('a', { ...recorded('x', [1]), unit: 'us' }), plain('')], ''),
      /b: .* are unknown/,
    );
    const { recording } = mergedLogs([content('a', { ...recorded('x', [1]), unit: 'us' }), plain('')], 'us');
    assert.equal(recording.histograms[0].histogram.totalCount, 2);
    assert.throws(() => mergedLogs([], ''), /there is no interval in them/);
  });
});

describe('.hgrm', () => {
  const text = hgrmOf(recorded(ID, [1000, 2000, 3000, 4000]));

  it('is read as it is written', () => {
    const { points, count } = parseHgrm(text, 'a.hgrm');
    assert.equal(count, 4);
    assert.equal(points[points.length - 1][0], 1);
    assert.ok(Math.abs(points[points.length - 1][1] - 4) < 0.04);
  });

  it('that is cut or none is refused with its place', () => {
    const lines = text.split('\n');
    assert.throws(() => parseHgrm(lines.slice(0, 5).join('\n'), 'a.hgrm'), /a\.hgrm: it is cut: 100 % is missing/);
    assert.throws(
      () => parseHgrm(`${lines.slice(0, 4).join('\n')}\nabc def ghi\n`, 'a.hgrm'),
      /a\.hgrm:5: "abc def ghi" is not a line/,
    );
    assert.throws(() => parseHgrm('hello', 'a.hgrm'), /a\.hgrm:1: it does not begin/);
    assert.throws(
      () => parseHgrm(`${lines.slice(0, 4).join('\n')}\n   1.89 0.4`, 'a.hgrm'),
      /a\.hgrm:5: .* \(the last line: the file may be cut\)$/,
    );
  });
});

it('no percentile of a table, of JSON and of CSV is above the largest value', () => {
  const histogram = emptyHistogram(2);
  for (const value of [20_112, 20_200]) histogram.recordValue(value);
  const one = { ...recorded(ID, [1]), histogram };
  const { histograms } = jsonOf(at(T, T + 1000, one)) as {
    histograms: { percentiles: Record<string, number>; max: number }[];
  };
  const [{ percentiles, max }] = histograms;
  assert.equal(max, Math.max(...Object.values(percentiles)));
  assert.match(table([one], 200), /20\.2 ms +20\.2 ms\n$/);
});

describe('what is no regular file', () => {
  it('is read to its end, but a device without an end is not', () => {
    assert.throws(() => readHistogramFile('/dev/zero'), /\/dev\/zero: it is not text/);
    assert.throws(() => readHistogramFile('/dev/null'), /\/dev\/null: it is empty/);
  });
});
