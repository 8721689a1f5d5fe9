import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECISION, TraceContext, word } from '../../src/tracing/context.js';
import { IdGenerator } from '../../src/tracing/id-generator.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const ZEROS = '0'.repeat(32);

interface Read {
  readonly understood: boolean;
  readonly decision: number;
  readonly trace: string;
  readonly span: string;
}

function read(text: string, how: 'readTraceparent' | 'readB3'): Read {
  const bytes = Buffer.from(`..${text}..`, 'latin1');
  const context = new TraceContext();
  const understood = context[how](bytes, 2, bytes.length - 2);
  const { traceAt, traceLength, spanAt, decision } = context;
  const trace = bytes.toString('latin1', traceAt, traceAt + traceLength);
  return { understood, decision, trace, span: traceLength === 0 ? '' : bytes.toString('latin1', spanAt, spanAt + 16) };
}

describe('traceparent', () => {
  it('has ids and a decision', () => {
    for (const [flags, decision] of [
      ['00', DECISION.NO],
      ['01', DECISION.YES],
      ['03', DECISION.YES],
      ['ff', DECISION.YES],
      ['02', DECISION.NO],
    ] as const)
      assert.deepEqual(read(`00-${TRACE}-${SPAN}-${flags}`, 'readTraceparent'), {
        understood: true,
        decision,
        trace: TRACE,
        span: SPAN,
      });
    assert.equal(read(`cc-${TRACE}-${SPAN}-01-what.the-future-will-be`, 'readTraceparent').understood, true);
    assert.equal(read(`cc-${TRACE}-${SPAN}-01`, 'readTraceparent').understood, true);
  });

  it('says nothing where it is malformed', () => {
    for (const text of [
      '',
      '00',
      '-',
      `00-${TRACE}-${SPAN}-01-more`,
      `00-${TRACE}-${SPAN}-01 `,
      `00-${TRACE}-${SPAN}`,
      `00-${TRACE}-${SPAN}-1`,
      `ff-${TRACE}-${SPAN}-01`,
      `cc-${TRACE}-${SPAN}-01.what`,
      `00-${ZEROS}-${SPAN}-01`,
      `00-${TRACE}-${'0'.repeat(16)}-01`,
      `00-${TRACE.toUpperCase()}-${SPAN}-01`,
      `00-${TRACE.replace('0', 'g')}-${SPAN}-01`,
      `00_${TRACE}-${SPAN}-01`,
      `00-${TRACE}_${SPAN}-01`,
      `00-${TRACE}-${SPAN}-0x`,
      `\x00\x00-${TRACE}-${SPAN}-01`,
      '\xff'.repeat(55),
    ])
      assert.deepEqual(read(text, 'readTraceparent'), { understood: false, decision: -1, trace: '', span: '' }, text);
  });
});

describe('b3', () => {
  it('has ids, a decision, or only that', () => {
    const short = TRACE.slice(16);
    for (const [text, decision, trace] of [
      [`${TRACE}-${SPAN}-1`, DECISION.YES, TRACE],
      [`${TRACE}-${SPAN}-d`, DECISION.YES, TRACE],
      [`${TRACE}-${SPAN}-0`, DECISION.NO, TRACE],
      [`${TRACE}-${SPAN}`, DECISION.NONE, TRACE],
      [`${short}-${SPAN}-1-${SPAN}`, DECISION.YES, short],
      ['0', DECISION.NO, ''],
      ['1', DECISION.YES, ''],
      ['d', DECISION.YES, ''],
    ] as const)
      assert.deepEqual(
        read(text, 'readB3'),
        { understood: true, decision, trace, span: trace === '' ? '' : SPAN },
        text,
      );
  });

  it('says nothing where it is malformed', () => {
    for (const text of [
      '',
      '2',
      '-',
      TRACE,
      `${TRACE}-`,
      `${TRACE}-${SPAN}-`,
      `${TRACE}-${SPAN}-2`,
      `${TRACE}-${SPAN}-1-`,
      `${TRACE}-${SPAN}-1-${SPAN}0`,
      `${TRACE}0-${SPAN}-1`,
      `${TRACE}-${SPAN.slice(1)}-1`,
      `${ZEROS}-${SPAN}-1`,
      `${TRACE}-${SPAN}x1`,
    ])
      assert.deepEqual(read(text, 'readB3'), { understood: false, decision: -1, trace: '', span: '' }, text);
  });
});

describe('ids', () => {
  it('are random, of the length that is asked for', () => {
    const ids = new IdGenerator();
    const seen = new Set(Array.from({ length: 2000 }, () => ids.hex(8)));
    assert.equal(seen.size, 2000);
    for (const id of seen) assert.match(id, /^[0-9a-f]{16}$/);
    const words = Array.from({ length: 4000 }, () => ids.word());
    const below = words.filter((value) => value < 2 ** 31).length;
    assert.ok(below > 1700 && below < 2300, `${below} of 4000 are in the lower half`);
    assert.equal(new Set(words).size, 4000);
  });

  it('are decided by as OpenTelemetry does: by the 64 bits at the end', () => {
    assert.equal(word(Buffer.from('80000000ffffffff'), 0), 2 ** 31);
    assert.equal(word(Buffer.from('ffffffff'), 0), 2 ** 32 - 1);
  });
});
