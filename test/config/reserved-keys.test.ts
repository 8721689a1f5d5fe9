import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAuthorization } from '../../src/config/authorization-text.js';
import { formatProblem } from '../../src/config/problem.js';
import { LISTENERS, load, problemsOf, SERVICES, withBasics } from './support.js';

const lines = (work: () => unknown): string[] =>
  problemsOf(work).map((problem) => formatProblem(problem).replace(/^.*?:(?=\d)/, ''));

for (const word of ['__proto__', 'constructor', 'prototype']) {
  const says = `${word}: is reserved, and no key of anything; remove it`;

  test(`${word} is reported wherever it is written`, () => {
    assert.deepEqual(
      lines(() => load(withBasics(`${word}: 1`))),
      [`1:1: ${says}`],
    );
    assert.deepEqual(
      lines(() => load(withBasics(`log:\n  ${word}: { level: info }`))),
      [`2:3: log.${says}`],
    );
    const service = `${LISTENERS}services:\n  web: { endpoints: ["127.0.0.1:1"] }\n  ${word}: { endpoints: ["127.0.0.1:2"] }\n`;
    assert.deepEqual(
      lines(() => load(service)),
      [`4:3: services.${word}: "${word}" is reserved; use another name`],
    );
    const listener = `listeners: [{ name: edge, listen: "127.0.0.1:8080", service: web, ${word}: {} }]\n${SERVICES}`;
    assert.match(lines(() => load(listener)).join(), /^1:\d+: listeners\[0\]\.\S+: is reserved, /);
  });

  test(`${word} is reported in rules of a mesh`, () => {
    assert.deepEqual(
      lines(() => readAuthorization('rules', `default: deny\n${word}: 1\n`)),
      [`2:1: ${says}`],
    );
  });
}

test('other names that mean something to JavaScript are keys and names like any other', () => {
  for (const word of ['toString', 'hasOwnProperty', 'valueOf', '__defineGetter__']) {
    assert.match(lines(() => load(withBasics(`${word}: 1`))).join(), /^1:1: \w+: unknown key; /);
    const missing = `listeners: [{ name: edge, listen: "127.0.0.1:8080", service: ${word} }]\n${SERVICES}`;
    assert.equal(lines(() => load(missing)).length, 1);
    const named = `listeners: [{ name: edge, listen: "127.0.0.1:8080", service: ${word} }]\nservices: { ${word}: { endpoints: ["127.0.0.1:1"] } }\n`;
    assert.equal(load(named).services[0].name, word);
  }
});
