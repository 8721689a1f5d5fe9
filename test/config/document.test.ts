import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaint, complaints, LISTENERS, load, SERVICES, withBasics } from './support.js';

test('anchors and aliases work, and errors in them point at the anchor', () => {
  const text = (backlog: string) => `listeners:
  - { name: a, listen: ":1", service: web, detect: &d { race: 0 } }
  - { name: b, listen: ":2", service: web, detect: *d, backlog: ${backlog} }
${SERVICES}`;
  assert.equal(load(text('1')).listeners[1].detect.raceMs, 0);
  assert.deepEqual(
    complaints(text('0').replace('race: 0', 'race: x')).map((line) => line.split(': ')[0]),
    ['2:63 listeners[0].detect.race', '2:63 listeners[1].detect.race', '3:65 listeners[1].backlog'],
  );
});

test('YAML that cannot be read is reported where it breaks, in words for people', () => {
  const cases: [string, RegExp][] = [
    ['listeners:\n\t- a\n', /^2:1 : a tab indents this line; indent with spaces$/],
    ['workers: [1\nio: auto\n', /^2:1 : is not valid YAML: .*; correct the syntax$/],
    ['log: "x\n', /^\d:\d+ : is not valid YAML: Missing closing "quote/],
    ['workers: 1\n---\nworkers: 2\n', /^2:1 : a second document begins here; keep one document per file$/],
    ['admin: { listen: [::1]:80 }\n', /^1:\d+ : brackets begin a list in YAML; put the IPv6 address in quotes/],
    ['log: *nowhere\n', /^1:6 : \*nowhere names no anchor above; define &nowhere first$/],
    ['log: &a { level: *a }\n', /^1:18 : \*a contains itself; write the value out$/],
    ['workers: !many 1\n', /^1:10 : Unresolved tag: !many; remove the tag$/],
    ['', /^1:1 : is empty; it needs at least listeners and services/],
    ['# only a comment\n', /is empty/],
  ];
  for (const [text, expected] of cases) {
    const lines = complaints(text);
    assert.match(lines[0] ?? '', expected, text);
    assert.equal(lines.length, 1, `${text}: ${lines}`);
  }
});

test('aliases that unfold without end are refused, not unfolded', () => {
  const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`)}]`);
  assert.match(complaint(`a0: &a0 [x]\n${levels.join('\n')}\n`), /cannot be read as YAML: Excessive alias count/);
});

test('duplicate keys are reported with their path and the first line, beside all other mistakes', () => {
  assert.deepEqual(
    complaints(
      `workers: 1\nlog: { level: info, level: debug }\nworkers: 2\n${LISTENERS}services:\n  web: { endpoints: ["a:1"] }\n  web: { endpoints: ["a"] }\n`,
    ),
    [
      '2:21 log.level: is written twice, first on line 2; keep one',
      '3:1 workers: is written twice, first on line 1; keep one',
      '7:3 services.web: is written twice, first on line 6; keep one',
      '7:22 services.web.endpoints[0]: "a" has no port; write "a:8080"',
    ],
  );
});

test('a byte order mark and Windows line ends do no harm', () => {
  assert.equal(load(`\uFEFF${withBasics('workers: 2').replaceAll('\n', '\r\n')}`).workers, 2);
});

test('nesting without end is refused before it fills the stack', () => {
  for (const text of ['['.repeat(10_000), '{a: '.repeat(10_000), '- '.repeat(10_000), '? '.repeat(10_000)]) {
    assert.match(complaint(`workers: 1\nlog:\n ${text}`), /^: is nested too deeply; use fewer levels$/);
  }
  const steps = Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n');
  assert.match(complaints(steps)[0], /^202:1 : is nested too deeply/);
});

test('more aliases than anybody writes are refused', () => {
  const aliases = (count: number) => complaints(`log: &a {}\nx: [${Array(count).fill('*a').join(', ')}]\n`);
  assert.match(aliases(1001)[0], /^2:\d+ : is alias 1001; write the values out$/);
  assert.doesNotMatch(aliases(1000).join('\n'), /is alias/);
});
