// The example of k8s/: what a cluster would not tell.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import type { Config } from '../../src/config/model.js';
import { page } from './fences.js';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly readinessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly livenessProbe?: { readonly httpGet: { readonly path: string; readonly port: string } };
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly securityContext: {
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly capabilities: { readonly drop: readonly string[] };
  };
}
interface Manifest {
  readonly kind: string;
  readonly data: Readonly<Record<string, string>>;
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly terminationGracePeriodSeconds: number;
        readonly securityContext: {
          readonly runAsNonRoot: boolean;
          readonly seccompProfile: { readonly type: string };
        };
        readonly containers: readonly Container[];
      };
    };
  };
}

const documents = parseAllDocuments(page('k8s/sluice.yaml'));
const manifests = documents.map((document) => document.toJS() as Manifest);

function manifest(kind: string): Manifest {
  const found = manifests.find((candidate) => candidate.kind === kind);
  assert.ok(found !== undefined, kind);
  return found;
}

function configuration(): Config {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-k8s-'));
  const file = join(directory, 'sluice.yaml');
  writeFileSync(file, manifest('ConfigMap').data['sluice.yaml']);
  try {
    return loadConfig(file, {});
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const pod = manifest('Deployment').spec.template.spec;

function container(name: string): Container {
  const found = pod.containers.find((candidate) => candidate.name === name);
  assert.ok(found !== undefined, name);
  return found;
}

test('the manifests are well-formed YAML', () => {
  for (const { errors } of documents) assert.deepEqual(errors, []);
});

test('ports of the container, the probes and the configuration are the same', () => {
  const { listeners, admin } = configuration();
  const port = (name: string) => container('sluice').ports?.find((candidate) => candidate.name === name)?.containerPort;
  assert.equal(port('traffic'), listeners[0].listen.port);
  assert.equal(port('admin'), admin?.port);
  const { readinessProbe, livenessProbe } = container('sluice');
  assert.deepEqual(readinessProbe?.httpGet, { path: '/ready', port: 'admin' });
  assert.deepEqual(livenessProbe?.httpGet, { path: '/live', port: 'admin' });
});

test('the pod is given more time than a drain takes, and the application outlives the drain', () => {
  const { drain } = configuration();
  const drainSeconds = (drain.holdMs + drain.graceMs) / 1000;
  assert.ok(pod.terminationGracePeriodSeconds > drainSeconds);
  const sleep = Number(container('app').lifecycle?.preStop.exec.command[1]);
  assert.ok(sleep > drainSeconds && sleep < pod.terminationGracePeriodSeconds);
});

test('nothing runs as root, writes its file system or has a capability', () => {
  assert.equal(pod.securityContext.runAsNonRoot, true);
  assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault');
  for (const { securityContext } of pod.containers) {
    assert.equal(securityContext.allowPrivilegeEscalation, false);
    assert.equal(securityContext.readOnlyRootFilesystem, true);
    assert.deepEqual(securityContext.capabilities.drop, ['ALL']);
  }
});

test('the image is called the same everywhere and has the version of the package', () => {
  const { version } = JSON.parse(page('package.json')) as { version: string };
  assert.equal(container('sluice').image, `sluice:${version}`);
  for (const path of ['k8s/Containerfile', 'k8s/README.md'])
    assert.ok(page(path).includes(`-t sluice:${version} .`), path);
});
