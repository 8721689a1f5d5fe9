// `sluice check --network-policies` on the examples that are documented, and on what is none.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inherited } from '../support/sluice.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MAIN = join(ROOT, 'dist/src/cli/main.js');
const EXAMPLES = join(ROOT, 'k8s/network-policies');
const SHOP = 'shop.yaml';

function check(args: readonly string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  const options = { cwd: EXAMPLES, encoding: 'utf8', input, env: inherited() } as const;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [MAIN, 'check', '--network-policies', ...args],
    options,
  );
  return { status, stdout, stderr };
}

it('finds nothing in the examples of how it is done', () => {
  assert.deepEqual(check([SHOP, 'right']), {
    status: 0,
    stdout: '5 policies, 3 workloads with a proxy: nothing of the mesh is cut\n',
    stderr: '',
  });
});

it('finds what cuts in the others, and says what to add', () => {
  const { status, stdout, stderr } = check([SHOP, 'wrong']);
  assert.deepEqual([status, stderr], [1, '']);
  assert.deepEqual(stdout.match(/^(hint: )?wrong\/\w+\.yaml: NetworkPolicy [\w/]+: [\w.[\]]+/gm), [
    'wrong/cart.yaml: NetworkPolicy shop/cart: spec.egress[0].ports',
    'wrong/cart.yaml: NetworkPolicy shop/cart: spec.egress',
    'wrong/mysql.yaml: NetworkPolicy shop/mysql: spec.ingress[0].ports',
    'hint: wrong/mysql.yaml: NetworkPolicy shop/mysql: spec.ingress',
  ]);
  assert.match(stdout, /\n {4}add \{ port: 4143, protocol: TCP \}\n/);
  assert.match(stdout, /3 findings, 1 hint\n$/);
});

it('reads the standard input, and writes JSON', () => {
  const input = [SHOP, 'wrong/mysql.yaml'].map((file) => readFileSync(join(EXAMPLES, file), 'utf8')).join('---\n');
  const { status, stdout } = check(['-', '-o', 'json'], input);
  assert.equal(status, 1);
  const { findings, policies, meshed } = JSON.parse(stdout);
  assert.deepEqual([policies, meshed], [1, 3]);
  assert.deepEqual([findings[0].source, findings[0].object], ['standard input', 'NetworkPolicy shop/mysql']);
});

it('takes the namespace of objects that name none from an option', () => {
  const input = readFileSync(join(EXAMPLES, 'wrong/mysql.yaml'), 'utf8').replace(', namespace: shop', '');
  assert.equal(check([SHOP, '-'], input).status, 0);
  assert.equal(check([SHOP, '-', '--namespace', 'shop'], input).status, 1);
});

it('says what it cannot read, with exit code 2', () => {
  for (const [args, input, message] of [
    [['nowhere.yaml'], '', /^nowhere\.yaml: cannot be read: ENOENT/],
    [['-'], 'listeners: []\n', /^standard input: document 1, line 1: is not a Kubernetes object/],
    [['-'], '{{ .Values.policies }}\n', /^standard input: document 1/],
    [[SHOP, '-o', 'xml'], '', /--output "xml": write text or json/],
    [[SHOP, '-c', 'x'], '', /--config does not apply to --network-policies/],
  ] as const) {
    const { status, stderr } = check(args, input);
    assert.match(stderr, message);
    assert.equal(status, 2, stderr);
  }
});
