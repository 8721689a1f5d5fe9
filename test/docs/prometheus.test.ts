// The rules and queries of docs/: they are well-formed, and ask for what there is.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { parse, stringify } from 'yaml';
import { CLIENT_REASONS, RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { FAMILIES } from '../../src/metrics/families.js';
import { CLOSE_REASONS, LIMITS } from '../../src/metrics/layout.js';
import { noPromtool, promtool } from '../support/promtool.js';
import { fences, page, repository } from './fences.js';

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly annotations?: { readonly summary: string };
}

const FILE = 'docs/prometheus-rules.yml';
const PAGE = 'docs/prometheus.md';
const { groups } = parse(page(FILE)) as { readonly groups: readonly { readonly rules: readonly Rule[] }[] };
const rules = groups.flatMap((group) => group.rules);
const queries = fences(page(PAGE))
  .filter(({ info }) => info === 'promql')
  .map(({ text }) => text);
const expressions = [...rules.map(({ expr }) => expr), ...queries];

/** Names of series that an expression may ask for. */
function known(): Set<string> {
  const names = new Set(['up', 'sluice_build_info']);
  for (const { name, type } of FAMILIES) {
    if (type === 'histogram') for (const end of ['_bucket', '_sum', '_count']) names.add(name + end);
    else names.add(name);
  }
  const defaults = new Registry();
  collectDefaultMetrics({ register: defaults });
  for (const { name } of defaults.getMetricsAsArray()) names.add(name);
  defaults.clear();
  for (const { record } of rules) if (record !== undefined) names.add(record);
  return names;
}

const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'by', 'without', 'on', 'ignoring']);

/** The names of series in an expression: what is left without labels, texts, durations, numbers and functions. */
function seriesIn(expression: string): string[] {
  const bare = expression
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}/g, '')
    .replace(/\[[^\]]*\]/g, '')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '');
  return [...bare.matchAll(/(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])/g)]
    .map(([, name]) => name)
    .filter((name) => !WORDS.has(name));
}

test('rules and queries ask for series that there are', () => {
  const names = known();
  assert.ok(expressions.length > 20);
  for (const expression of expressions) {
    const asked = seriesIn(expression);
    assert.ok(asked.length > 0, expression);
    for (const name of asked) assert.ok(names.has(name), `${name} in ${expression}`);
  }
});

test('rules and queries use labels and values that there are', () => {
  const labels = new Set(
    'job instance service target_addr listener worker limit reason state verdict grpc_status classification errno le use name certificate'.split(
      ' ',
    ),
  );
  const values: Readonly<Record<string, readonly string[]>> = { limit: LIMITS, errno: CLOSE_REASONS };
  for (const expression of expressions) {
    for (const [, list] of expression.matchAll(/\bby \(([^)]*)\)/g)) {
      for (const label of list.split(/,\s*/)) assert.ok(labels.has(label), `${label} in ${expression}`);
    }
    for (const [, label, value] of expression.matchAll(/[{,]\s*(\w+)(?:=|!=|=~|!~)"([^"]*)"/g)) {
      assert.ok(labels.has(label), `${label} in ${expression}`);
      if (label in values) assert.ok(values[label].includes(value), `${label}="${value}" in ${expression}`);
    }
  }
});

test("what the rules leave out of a service's failures is what the golden metrics leave out", () => {
  const failures = rules.find(({ record }) => record === 'service:sluice_failures:rate5m');
  const reasons = /reason!~"([^"]*)"/.exec(failures?.expr ?? '')?.[1].split('|') ?? [];
  assert.deepEqual(
    reasons,
    RESPONSE_REASONS.filter((reason) => CLIENT_REASONS.has(reason)),
  );
});

test('the page names each alert, and no other', () => {
  const named = [...page(PAGE).matchAll(/^\| `(Sluice\w+)` \|/gm)].map(([, name]) => name);
  assert.deepEqual(
    named,
    rules.flatMap(({ alert }) => (alert === undefined ? [] : [alert])),
  );
});

test('promtool checks the rules', { skip: noPromtool }, () => {
  const { status, lines } = promtool(['check', 'rules', fileURLToPath(repository(FILE))]);
  assert.equal(status, 0, lines.join('\n'));
  assert.ok(
    lines.some((line) => line.includes(`SUCCESS: ${rules.length} rules found`)),
    lines.join('\n'),
  );
});

test('promtool checks the queries', { skip: noPromtool }, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-promql-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'queries.yml');
  const made = queries.map((expr, index) => ({ record: `query:${index}`, expr }));
  writeFileSync(file, stringify({ groups: [{ name: 'queries', rules: made }] }));
  const { status, lines } = promtool(['check', 'rules', file]);
  assert.equal(status, 0, lines.join('\n'));
});

/** Ten minutes of a counter that grows by `step` every 15 s. */
const grows = (series: string, step: number): { series: string; values: string } => ({
  series,
  values: `0+${step}x40`,
});

/** Alerts of the service `web` that fire, and those that must not, after ten minutes of these series. */
function unit(input: readonly { series: string; values: string }[], failing: boolean, ratio: number): object {
  const labels = 'instance="a",job="sluice"';
  const requests = grows(`sluice_service_requests_total{${labels},direction="outbound",service="web"}`, 150);
  return {
    interval: '15s',
    input_series: [requests, ...input],
    promql_expr_test: [
      {
        expr: 'round(service:sluice_failures:ratio5m, 0.001)',
        eval_time: '10m',
        exp_samples: [{ labels: '{service="web"}', value: ratio }],
      },
    ],
    alert_rule_test: [
      {
        eval_time: '10m',
        alertname: 'SluiceServiceFailing',
        exp_alerts: failing
          ? [
              {
                exp_labels: { severity: 'critical', service: 'web' },
                exp_annotations: { summary: `${ratio * 100}% of the requests of web fail` },
              },
            ]
          : [],
      },
    ],
  };
}

test('a service that fails is told of, by endpoints and by Sluice itself, and one whose clients fail is not', {
  skip: noPromtool,
}, (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-promql-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'tests.yml');
  const labels = 'instance="a",job="sluice",direction="outbound",service="web"';
  const endpoint = `${labels},target_addr="10.0.0.1:80"`;
  const ok = grows(`response_total{${endpoint},status_code="200",classification="success"}`, 150);
  const failed = grows(`response_total{${endpoint},status_code="500",classification="failure"}`, 15);
  const refused = (reason: string) => grows(`sluice_service_proxy_response_total{${labels},reason="${reason}"}`, 15);
  const other = grows('response_total{job="linkerd",service="web",status_code="500",classification="failure"}', 150);
  const tests = [
    unit([ok], false, 0),
    unit([ok, failed], true, 0.1),
    unit([ok, refused('connect-failed')], true, 0.1),
    unit([ok, failed, refused('no-endpoint')], true, 0.2),
    unit([ok, refused('bad-request')], false, 0),
    unit([ok, other], false, 0),
  ];
  writeFileSync(file, stringify({ rule_files: [fileURLToPath(repository(FILE))], evaluation_interval: '15s', tests }));
  const { status, lines } = promtool(['test', 'rules', file]);
  assert.equal(status, 0, lines.join('\n'));
});
