import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readYaml } from '../../src/config/document.js';
import { readJson } from '../../src/config/json.js';
import { readPlainYaml } from '../../src/config/plain-yaml.js';
import { runs } from '../support/runs.js';

test('lists and maps of lists are read', () => {
  const value = (text: string) => readPlainYaml(text)?.value;
  assert.deepEqual(value('# endpoints\n- "10.0.0.1:80"\n- \'[::1]:80\' # here\n\n- 10.0.0.2:80\r\n'), [
    '10.0.0.1:80',
    '[::1]:80',
    '10.0.0.2:80',
  ]);
  assert.deepEqual(value('web:\n  - "a"\n  - "b"\n"d.b": []\nlast:\n- "c"'), {
    web: ['a', 'b'],
    'd.b': [],
    last: ['c'],
  });
  assert.deepEqual(
    value('- { address: "10.0.0.1:80", weight: 2, zone: eu-1a }\n-  address: 10.0.0.2:80\n   weight: 3\n'),
    [
      { address: '10.0.0.1:80', weight: 2, zone: 'eu-1a' },
      { address: '10.0.0.2:80', weight: 3 },
    ],
  );
});

test('what is more than that is left to YAML', () => {
  for (const text of [
    'x:[]',
    '',
    '# nothing\n',
    'a:\n',
    'a:\nb:\n- "x"\n',
    'a: []\n- "x"\n',
    '- "a"\nb:\n- "c"\n',
    '- "a"\n  - "b"\n',
    '- "a"\n - "b"\n',
    '- &x "a"\n',
    '- *x\n',
    '- "a\\n"\n',
    '- a b\n',
    '- true\n',
    'null:\n- "a"\n',
    'a:\n- "x"\na:\n- "y"\n',
    '- { a: 1, a: 2 }\n',
    '- { a: { b: c } }\n',
    '- a: 1\n  a: 2\n',
    '- a: 1\n b: 2\n',
    '- a: 1\n   b: 2\n',
    '-\t"a"\n',
    '---\n- "a"\n',
    '- "a"\n...\n',
    '- |\n  a\n',
    '- 010\n',
    '- 1.5\n',
    '__proto__:\n- "a"\n',
  ]) {
    assert.equal(readPlainYaml(text), null, JSON.stringify(text));
  }
});

test('it never reads anything else than YAML does, and finds it at the same place', () => {
  const piece = fc.constantFrom(
    ...[
      '- ',
      '-',
      '  ',
      ' ',
      '\n',
      '\n',
      '\n- ',
      '\n  - ',
      '\n    ',
      '"10.0.0.1:80"',
      "'a'",
      '10.0.0.1:80',
      'a:',
      'b: ',
      'a: 1',
    ],
    ...[
      '{ ',
      ' }',
      ', ',
      'address: ',
      '12',
      '0',
      '007',
      'x',
      'true',
      'Null',
      '#',
      ' # c',
      '[]',
      '\r\n',
      '\t',
      '""',
      "''",
      ':',
      'a.b',
    ],
    ...[
      '- { a: 1, b: "c" }\n',
      '- "x"\n',
      '- a: 1\n  b: 2\n',
      'n:\n',
      '  - "y"\n',
      '*',
      '&',
      '!',
      '|',
      '~',
      'é',
      '\\',
      '"',
    ],
  );
  let plain = 0;
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      const read = readPlainYaml(text);
      if (read === null) return;
      plain++;
      const real = readYaml(text);
      assert.deepEqual(real.problems, []);
      assert.deepEqual(read.value, real.value);
      const paths = Array.isArray(read.value)
        ? read.value.map((_, index) => [index])
        : Object.entries(read.value as Record<string, unknown[]>).flatMap(([key, list]) =>
            list.map((_, index) => [key, index]),
          );
      for (const path of paths) assert.deepEqual(read.locate(path, 'value'), real.locate(path, 'value'), text);
    }),
    { numRuns: runs(3000) },
  );
  assert.ok(plain > 0);
});

test('places within items are those of their lines', () => {
  const read = readPlainYaml('web:\n  - address: "a"\n    weight: 70000\n  - { address: "b" }\n');
  assert.deepEqual(read?.locate(['web', 0, 'weight'], 'value'), { line: 3, column: 5 });
  assert.deepEqual(read?.locate(['web', 1, 'address'], 'value'), { line: 4, column: 5 });
  assert.deepEqual(read?.locate(['web', 9], 'value'), { line: 1, column: 1 });
});

test('JSON is read, with the places of its values and keys', () => {
  const text = '{\n  "a\\n": [1, {"b": "}]\\"", "c": [[], {}]}],\n  "d": -1.5e3, "d": null\n}\n';
  const read = readJson(text);
  assert.deepEqual(read?.value, { 'a\n': [1, { b: '}]"', c: [[], {}] }], d: null });
  const at = (path: (string | number)[], what: 'key' | 'value' = 'value') => {
    const place = read?.locate(path, what);
    return `${place?.line}:${place?.column}`;
  };
  assert.equal(at([]), '1:1');
  assert.equal(at(['a\n'], 'key'), '2:3');
  assert.equal(at(['a\n', 0]), '2:11');
  assert.equal(at(['a\n', 1, 'c']), '2:33');
  assert.equal(at(['a\n', 1, 'c', 1]), '2:38');
  assert.equal(at(['a\n', 1, 'zz']), '2:14');
  assert.equal(at(['d']), '3:21');
  assert.equal(at(['d'], 'key'), '3:16');
  assert.equal(readJson('{"a": }'), null);
});
