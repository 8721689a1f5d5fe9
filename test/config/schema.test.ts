import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usableCores } from '../../src/config/cores.js';
import { complaint, complaints, LISTENERS, load, SERVICES, withBasics } from './support.js';

test('every section may be left out or left empty', () => {
  const { file: _, ...bare } = load(withBasics(''));
  const { file: __, ...empty } = load(withBasics('log:\ndrain:\nlimits: { http1: , opaque: }\ndetect:\nopaquePorts:'));
  assert.deepEqual(empty, bare);
  assert.deepEqual(bare.admin, { host: '127.0.0.1', port: 4191 });
  assert.equal(bare.services[0].protocol, 'auto');
});

test('workers: auto is one for each available core', () => {
  assert.equal(load(withBasics('workers: auto')).workers, Math.min(usableCores(), 64));
  assert.match(complaint(withBasics('workers: 0')), /^workers: found 0; write a whole number from 1 to 64, or auto/);
  assert.match(complaint(withBasics('workers: 65')), /^workers: found 65/);
  assert.match(complaint(withBasics('workers: many')), /^workers: found "many"/);
});

test('the admin port can be turned off in every way people try', () => {
  for (const text of [
    'admin: off',
    'admin: null',
    'admin:',
    'admin: false',
    'admin: { listen: off }',
    '%YAML 1.1\n---\nadmin: off',
  ]) {
    assert.equal(load(withBasics(text)).admin, null, text);
  }
  assert.match(complaint(withBasics('admin: on')), /^admin: found "on"; write a map with the keys listen, shutdown$/);
});

test('race takes auto, off, 0 or a duration', () => {
  const race = (text: string) => load(withBasics(`detect: { race: ${text} }`)).listeners[0].detect.raceMs;
  assert.deepEqual(['auto', 'off', '0', '5ms'].map(race), [-1, -2, 0, 5]);
  assert.match(complaint(withBasics('detect: { race: soon }')), /auto and off are allowed too$/);
});

test('several unknown keys of one map are all reported', () => {
  assert.deepEqual(
    complaints(withBasics('a1: 1\nb2: 2\nlog: { c3: 3, d4: 4 }')).map((line) => line.split(': ')[0]),
    ['1:1 a1', '2:1 b2', '3:8 log.c3', '3:15 log.d4'],
  );
});

test('wrong types are refused at every level', () => {
  const cases: [string, RegExp][] = [
    [withBasics('log: info'), /^log: found "info"; write a map with the keys level, access$/],
    [withBasics('log: []'), /^log: found a list; write a map/],
    [withBasics('drain: 5'), /^drain: found 5; write a map with the keys hold, grace, outbound$/],
    [withBasics('log: { access: "yes" }'), /^log.access: found "yes"; write true, false or errors/],
    [withBasics('coalesce: 11ms'), /^coalesce: 11ms is too long; write at most 10ms$/],
    [withBasics('limits: { slab: 64MB }'), /^limits.slab: found "64MB"; write a size/],
    [withBasics('limits: { slab: 1KiB }'), /^limits.slab: 1KiB is too small; write at least 1MiB$/],
    [withBasics('limits: { slab: 2GiB }'), /^limits.slab: 2GiB is too large; write at most 1GiB$/],
    [
      withBasics('limits: { http1: { maxHeaderBytes: 257KiB } }'),
      /^limits.http1.maxHeaderBytes: 257KiB is too large; write at most 256KiB$/,
    ],
    [
      withBasics('limits: { http1: { headerTimeout: 0 } }'),
      /^limits.http1.headerTimeout: 0 is too short; write at least 1ms$/,
    ],
    [withBasics('log: { level: }'), /^log.level: found nothing; write one of error, warn, info, debug$/],
    [`listeners: {}\n${SERVICES}`, /^listeners: found a map; write a list of listeners/],
    [`listeners: []\n${SERVICES}`, /^listeners: is empty; add a listener/],
    [`listeners: [x]\n${SERVICES}`, /^listeners\[0\]: found "x"; write a map with the keys name, listen/],
    [SERVICES, /^listeners: is missing; add it$/],
    [`${LISTENERS}services: { web: { endpoints: "a:1" } }`, /^services.web.endpoints: found "a:1"; write a list/],
    [`${LISTENERS}services: { web: { protocol: http1 } }`, /^services.web.endpoints: is missing; add it$/],
    [`${LISTENERS}services: { web: { endpoints: [1] } }`, /^services.web.endpoints\[0\]: 1 has no host/],
    [
      `${LISTENERS}services: { web: { endpoints: ["a:1"], keepAlive: 1500ms } }`,
      /^services.web.keepAlive: 1500ms is too precise; write whole seconds$/,
    ],
    ['[]', /^: found a list; write a map with the keys workers, io/],
    ['hello', /^: found "hello"; write a map/],
  ];
  for (const [text, expected] of cases) assert.match(complaint(text), expected, text);
  assert.match(complaint(`${LISTENERS}services: []`), /^services: found a list; write a map of services by name/);
});
