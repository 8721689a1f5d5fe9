// Lists of ports as people write them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatSpans, parsePortList } from '../../src/redirect/port-list.js';

const read = (text: string): [string, string, number] => {
  const { spans, names, problems } = parsePortList(text);
  return [formatSpans(spans), names.join(), problems.length];
};

describe('lists of ports', () => {
  it('have ports, ranges and names, sorted and joined', () => {
    assert.deepEqual(read('3306'), ['3306', '', 0]);
    assert.deepEqual(read(' 587 , 25 ,'), ['25,587', '', 0]);
    assert.deepEqual(read('4000-4010,4005-4020,4021'), ['4000-4021', '', 0]);
    assert.deepEqual(read('mysql,3306,mysql,http-alt'), ['3306', 'mysql,http-alt', 0]);
    assert.deepEqual(read('0,65535'), ['0,65535', '', 0]);
    assert.deepEqual(read('1-65535'), ['1-65535', '', 0]);
    assert.deepEqual(read(''), ['', '', 0]);
    assert.deepEqual(read(' , ,'), ['', '', 0]);
  });

  it('count as far as they make sense, and say what does not', () => {
    for (const bad of [
      '65536',
      '-1',
      '4010-4000',
      '1-99999',
      '1-2-3',
      'a_b',
      '12ab-',
      '3306;25',
      'x'.repeat(16),
      '99999999999999',
    ])
      assert.deepEqual(read(`25,${bad},587`), ['25,587', '', 1], bad);
    const [problem] = parsePortList('4010-4000').problems;
    assert.equal(problem, '"4010-4000" ends before it begins; write 4000-4010');
  });
});
