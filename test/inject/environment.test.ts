// What the injector writes into a pod, the proxy in it starts with: a pod must not fail for what an annotation says.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { loadConfig } from '../../src/config/load.js';
import type { Config } from '../../src/config/model.js';
import { NO_FILE } from '../../src/config/text-file.js';
import { ANNOTATIONS } from '../../src/inject/annotations.js';
import { mapsIn, type PlainMap } from '../../src/inject/plain.js';
import { container, containerOf, injected, mesh, pod, problems } from './pods.js';

const FIELDS: Readonly<Record<string, string>> = {
  SLUICE_SIDECAR_POD: 'web-7d4b9',
  SLUICE_SIDECAR_NAMESPACE: 'shop',
  SLUICE_SIDECAR_NODE: 'node-1',
  SLUICE_SIDECAR_ACCOUNT: 'web',
};

/** The environment of the proxy, as a kubelet makes it. */
function environmentOf(from: PlainMap): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { name, value } of mapsIn(containerOf(from, 'sluice-proxy').env)) {
    const text = typeof value === 'string' ? value : FIELDS[String(name)];
    env[String(name)] = text.replaceAll(/\$\((\w+)\)/g, (whole, other: string) => env[other] ?? whole);
  }
  return env;
}

function configOf(annotations: PlainMap, more: PlainMap = {}): Config {
  const { pod: result } = injected(pod(annotations, { containers: [container(more)] }), {
    mesh: mesh({ clusterNetworks: '10.0.0.0/8,fd00::/8' }),
  });
  const enabled = { path: ['sidecar', 'enabled'], value: true, source: 'command line', name: '--sidecar' } as const;
  return loadConfig(NO_FILE, environmentOf(result), [enabled]);
}

describe('the variables of an injected proxy', () => {
  it('are a configuration', () => {
    const config = configOf({
      'config.linkerd.io/opaque-ports': 'mysql,5000-5001',
      'config.linkerd.io/default-inbound-policy': 'cluster-authenticated',
      'config.linkerd.io/inbound-port': '5143',
    });
    const inbound = config.listeners.find(({ name }) => name === 'inbound');
    assert.equal(inbound?.listen.port, 5143);
    assert.deepEqual([...(inbound?.opaquePorts ?? [])].sort(), [4406, 5000, 5001]);
    assert.equal(config.sidecar.account, 'web');
  });

  it('have each name once: what is added stands in the place of ours', () => {
    const namesOf = (list: readonly object[]): string[] => {
      const said = { 'config.linkerd.io/proxy-additional-env': JSON.stringify(list) };
      return mapsIn(containerOf(injected(pod(said)).pod, 'sluice-proxy').env).map(({ name }) => String(name));
    };
    const usual = namesOf([]);
    const names = namesOf([
      { name: 'SLUICE_SIDECAR_ACCOUNT', value: 'web' },
      { name: 'A', value: '1' },
      { name: 'SLUICE_WORKERS', value: '2' },
      { name: 'A', value: '$(SLUICE_SIDECAR_POD)' },
    ]);
    assert.deepEqual([...names].sort(), [...usual, 'A'].sort());
    // Our own variables refer to fields of the pod, and what is added may refer to ours.
    assert.equal(names.indexOf('SLUICE_SIDECAR_ACCOUNT'), usual.indexOf('SLUICE_SIDECAR_ACCOUNT'));
    assert.deepEqual(names.slice(-2), ['A', 'SLUICE_WORKERS']);
    const twice = { 'config.linkerd.io/proxy-additional-env': '[{"name":"A","value":"1"},{"name":"A","value":"2"}]' };
    assert.match(problems(twice).join(), /"A" is there twice; the last one counts$/);
  });

  it('are one whatever the annotations say', () => {
    const names = Object.keys(ANNOTATIONS);
    const values = fc.oneof(
      fc.constantFrom(
        '',
        '0',
        '1',
        '65535',
        '+1,2',
        '25',
        'none',
        'true',
        'enabled',
        'disabled',
        '1ms',
        '596h',
        '1ns',
        '0s',
      ),
      fc.constantFrom(
        '1h30m',
        '999999h',
        '10m',
        '100',
        '1e9',
        '128Mi',
        'deny',
        'audit',
        'debug',
        'http,mysql,x',
        '1-65535',
      ),
      fc.constantFrom('10.0.0.0/8', '::/0', '[{"name":"A","value":"$(B)"}]', '[{"name":"SLUICE_WORKERS","value":"x"}]'),
      fc.string({ maxLength: 8 }),
    );
    const annotations = fc.dictionary(
      fc.constantFrom(...names).map((name) => `config.linkerd.io/${name}`),
      values,
    );
    const paths = fc.oneof(
      fc.constantFrom('/', '/a?b', '/a/../b', '//a', '/%2e', '/a,b', '/a%20b', '/a b', 'x', '/ü'),
      fc.string(),
    );
    const check = (said: Record<string, string>, path: string): void => {
      configOf(said, { livenessProbe: { httpGet: { path, port: 'http' } } });
    };
    fc.assert(fc.property(annotations, paths, check), { numRuns: 200, includeErrorInReport: true });
  });
});
