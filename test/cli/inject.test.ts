// `sluice inject` and `sluice uninject` as commands: where manifests come from, what goes where, and exit codes.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sluice-inject-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const pod = (name: string): string =>
  `# ${name}\napiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\nspec:\n  containers:\n  - name: a\n    image: a\n`;
const annotated = (name: string, more = ''): string =>
  pod(name).replace('metadata:\n', `metadata:\n  annotations:\n    linkerd.io/inject: enabled\n${more}`);

interface Done {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function sluice(args: readonly string[], input = '', env: NodeJS.ProcessEnv = {}): Promise<Done> {
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: folder, env: { ...inherited(), ...env } });
  const status = new Promise<number | null>((resolve) => child.once('close', resolve));
  child.stdin.end(input);
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { status: await status, stdout, stderr };
}

function write(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return name;
}

describe('sluice inject', () => {
  it('prints manifests of the standard input, and says what became of each object', async () => {
    const input = `${pod('web')}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n`;
    const { status, stdout, stderr } = await sluice(['inject', '-', '--opaque-ports=4406'], input);
    assert.equal(status, 0);
    const opaque = '    config.linkerd.io/opaque-ports: "4406"\n';
    assert.equal(stdout, input.replace(pod('web'), annotated('web', opaque)));
    assert.equal(stderr, 'pod "web" injected\nconfigmap "c" skipped: nothing in it to inject\n');
    const back = await sluice(['uninject', '-'], stdout);
    assert.deepEqual([back.status, back.stdout], [0, input]);
    assert.match(back.stderr, /^pod "web" uninjected$/m);
  });

  it('takes files, folders and URLs together, and keeps their documents apart', async () => {
    mkdirSync(join(folder, 'k8s/deep'), { recursive: true });
    write('k8s/b.yml', pod('b'));
    write('k8s/a.yaml', `---\n${pod('a')}`);
    write('k8s/deep/c.json', '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}');
    write('k8s/README.md', 'no manifest');
    write('one.yaml', pod('one').trimEnd());
    const server = createServer(({ url }, response) => response.writeHead(url === '/d' ? 200 : 404).end(pod('d')));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const { status, stdout, stderr } = await sluice(['inject', 'one.yaml', 'k8s', `${base}/d`]);
      assert.equal(status, 0, stderr);
      const c = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}';
      assert.equal(
        stdout,
        `${annotated('one')}---\n${annotated('a')}---\n${annotated('b')}---\n${c}\n---\n${annotated('d')}`,
      );
      assert.match(stderr, /^pod "c" skipped: spec is missing$/m);
      const missing = await sluice(['inject', `${base}/x`]);
      assert.deepEqual([missing.status, missing.stdout], [1, '']);
      assert.match(missing.stderr, /^sluice inject: http:\/\/127\.0\.0\.1:\d+\/x: is answered with 404 Not Found$/m);
    } finally {
      server.close();
    }
  });

  it('prints nothing where something can’t be read', async () => {
    const bad = write('bad.yaml', `${pod('web')}---\nkind: [\n`);
    const cases: [string[], RegExp][] = [
      [['one.yaml', bad], /^sluice inject: bad\.yaml: document 2, line \d+: is not valid YAML: /],
      [['nowhere.yaml'], /^sluice inject: nowhere\.yaml: cannot be read: ENOENT$/m],
      [['-'], /^sluice inject: standard input: is not UTF-8$/m],
    ];
    write('one.yaml', pod('one'));
    for (const [args, message] of cases) {
      const child = spawn(process.execPath, [MAIN, 'inject', ...args], { cwd: folder, env: inherited() });
      child.stdin.on('error', () => undefined).end(Buffer.from([0xff, 0xfe, 0x0a]));
      const status = new Promise<number | null>((resolve) => child.once('close', resolve));
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
      assert.deepEqual([await status, stdout], [1, '']);
      assert.match(stderr, message);
    }
  });

  it('writes the proxy out, or all anew, where that is asked for', async () => {
    const anchors = write('ca.crt', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');
    const args = ['inject', '-', '--manual', '--trust-anchors', anchors, '--mesh-namespace=mesh', '-o', 'json'];
    const { status, stdout, stderr } = await sluice([...args, '--native-sidecar=false'], pod('web'));
    assert.equal(status, 0, stderr);
    const { spec, metadata } = JSON.parse(stdout) as {
      spec: { containers: { name: string; env: { name: string; value: string }[] }[] };
      metadata: { labels: Record<string, string>; annotations: Record<string, string> };
    };
    assert.deepEqual(
      spec.containers.map(({ name }) => name),
      ['sluice-proxy', 'a'],
    );
    assert.deepEqual(metadata.labels, { 'sluice.io/control-plane-ns': 'mesh' });
    assert.equal(metadata.annotations['config.linkerd.io/proxy-enable-native-sidecar'], 'false');
    const address = spec.containers[0].env.find(({ name }) => name === 'SLUICE_DESTINATION_ADDRESS');
    assert.equal(address?.value, 'sluice-destination.mesh.svc:8086');
    const without = await sluice(['inject', '-', '--manual', '--ignore-cluster', '-o', 'yaml'], pod('web'));
    assert.match(
      without.stderr,
      /without --trust-anchors FILE the proxies have no identity, and nothing is encrypted$/m,
    );
    assert.match(without.stdout, /^apiVersion: v1$/m);
    assert.doesNotMatch(without.stdout, /SLUICE_IDENTITY/);
  });

  it('asks the cluster what proxies trust, by kubectl', async () => {
    const tools = join(folder, 'tools');
    mkdirSync(tools);
    const tool = (script: string): void =>
      writeFileSync(join(tools, 'kubectl'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    const manual = ['inject', '-', '--manual', '--mesh-namespace', 'mesh'];
    const env = { PATH: `${tools}:/usr/bin:/bin` };
    const certificate = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';
    const answer = JSON.stringify({ data: { 'ca-bundle.crt': certificate } });
    tool(`echo "$@" >${folder}/asked; cat <<'END'\n${answer}\nEND`);
    const asked = await sluice(manual, pod('web'), env);
    assert.equal(asked.stderr, 'pod "web" injected\n');
    assert.match(asked.stdout, /name: SLUICE_IDENTITY_LINKERD_ANCHORS\n +value: \|\n +-----BEGIN CERTIFICATE-----\n/);
    assert.match(
      readFileSync(join(folder, 'asked'), 'utf8'),
      /configmap sluice-identity-trust-roots --namespace mesh /,
    );
    const cases: [string, RegExp][] = [
      [
        'echo "The connection was refused" >&2; exit 1',
        /nothing is encrypted \(kubectl: The connection was refused\)$/m,
      ],
      ['echo "{}"', /\(configmap sluice-identity-trust-roots has no certificate in ca-bundle\.crt\)$/m],
      ['echo nonsense', /nothing is encrypted \(the output of kubectl is not valid JSON\)$/m],
    ];
    for (const [script, message] of cases) {
      tool(script);
      const { status, stderr } = await sluice(manual, pod('web'), env);
      assert.equal(status, 0);
      assert.match(stderr, message);
    }
    const { stderr } = await sluice(manual, pod('web'), { PATH: join(folder, 'none') });
    assert.match(stderr, /\(there is no kubectl to ask the cluster with\)$/m);
  });

  it('refuses what makes no sense, with code 2', async () => {
    const cases: [string[], RegExp][] = [
      [[], /which manifests\?/],
      [['-', '--opaque-ports=x_y'], /--opaque-ports: "x_y" is neither a port/],
      [['-', '--proxy-cpu-limit=lots'], /"lots" is not a quantity/],
      [['-', '--require-identity-on-inbound-ports=80'], /default-inbound-policy: all-authenticated/],
      [['-', '-o', 'xml'], /write yaml or json/],
      [['-', '--manual=perhaps'], /--manual: "perhaps" is neither true nor false/],
      [['-', '-'], /- is given twice/],
      [['-', '--opaque-port=1'], /unknown option --opaque-port; did you mean "--opaque-ports"/],
      [['-', '--trust-anchors=nowhere'], /--trust-anchors: ENOENT/],
    ];
    const done = await Promise.all(cases.map(([args]) => sluice(['inject', ...args], pod('web'))));
    for (const [index, { status, stdout, stderr }] of done.entries()) {
      assert.deepEqual([status, stdout], [2, ''], stderr);
      assert.match(stderr, cases[index][1]);
    }
    const { status, stderr } = await sluice(['inject', '-', '--enable-debug-sidecar', '--control-port=1'], pod('web'));
    assert.equal(status, 0);
    assert.match(stderr, /--enable-debug-sidecar has no meaning here: attach a debug container/);
  });
});
