// The manifests of k8s/: what a cluster would take and still be wrong, and what tells of something that is not there.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Registry } from 'prom-client';
import { parseAllDocuments } from 'yaml';
import { DestinationMetrics } from '../../src/controller/destination-metrics.js';
import { InjectorMetrics } from '../../src/controller/injector-metrics.js';
import { IssuingMetrics } from '../../src/identity/issuing/metrics.js';
import { FAMILIES } from '../../src/metrics/families.js';
import { dashboardExpressions, seriesIn } from '../support/dashboard.js';
import { noPromtool, promtool } from '../support/promtool.js';
import { page, repository } from './fences.js';

interface Container {
  readonly name: string;
  readonly image: string;
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources?: { readonly requests?: object; readonly limits?: object };
  readonly securityContext: {
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem?: boolean;
    readonly capabilities: { readonly drop: readonly string[]; readonly add?: readonly string[] };
  };
}

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly selector: Readonly<Record<string, string>>;
    readonly ports: readonly { readonly targetPort: string }[];
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly containers: readonly Container[];
        readonly securityContext: {
          readonly runAsNonRoot?: boolean;
          readonly seccompProfile: { readonly type: string };
        };
      };
    };
  };
}

const files = readdirSync(repository('k8s'), { recursive: true, encoding: 'utf8' });
const documents = files
  .filter((name) => name.endsWith('.yaml') && !name.endsWith('kustomization.yaml'))
  .flatMap((name) => parseAllDocuments(page(`k8s/${name}`)).map((document) => ({ name, document })));
const manifests = documents
  .map(({ name, document }) => ({ name, manifest: document.toJS() as Manifest }))
  .filter(({ name }) => !name.startsWith('network-policies/'));
const workloads = manifests.filter(({ manifest }) => ['Deployment', 'DaemonSet'].includes(manifest.kind));

describe('manifests', () => {
  it('are well-formed YAML', () => {
    for (const { name, document } of documents) assert.deepEqual(document.errors, [], name);
  });

  it('run nothing with privileges or capabilities, and bound what it takes', () => {
    assert.ok(workloads.length >= 7);
    for (const { name, manifest } of workloads) {
      const pod = manifest.spec.template.spec;
      assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault', name);
      // Root installs the profile on the node, whose folder is root's.
      if (manifest.metadata.name !== 'sluice-seccomp') assert.equal(pod.securityContext.runAsNonRoot, true, name);
      for (const { securityContext, resources, image } of pod.containers) {
        assert.equal(securityContext.allowPrivilegeEscalation, false, name);
        assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, name);
        if (!image.startsWith('mariadb')) assert.equal(securityContext.readOnlyRootFilesystem, true, name);
        assert.ok(resources?.requests !== undefined && resources.limits !== undefined, name);
      }
    }
  });

  it('have Services for pods and ports that there are', () => {
    const services = manifests.filter(({ manifest }) => manifest.kind === 'Service');
    assert.ok(services.length >= 7);
    for (const { name, manifest } of services) {
      const chosen = workloads.filter(({ manifest: { spec } }) =>
        Object.entries(manifest.spec.selector).every(
          ([label, value]) => spec.template.metadata.labels[label] === value,
        ),
      );
      const ports = chosen.flatMap(({ manifest: { spec } }) =>
        spec.template.spec.containers.flatMap((container) => container.ports?.map((port) => port.name) ?? []),
      );
      for (const { targetPort } of manifest.spec.ports) assert.ok(ports.includes(targetPort), `${name}: ${targetPort}`);
    }
  });

  it('name the image by the version of the package', () => {
    const { version } = JSON.parse(page('package.json')) as { version: string };
    const tags = files
      .filter((name) => name.endsWith('kustomization.yaml'))
      .flatMap((name) => [...page(`k8s/${name}`).matchAll(/newTag: (\S+?)[ }]*$/gm)].map(([, tag]) => tag));
    assert.ok(tags.length >= 3);
    assert.deepEqual([...new Set(tags)], [version]);
  });
});

describe('what comes with them', () => {
  it('is a page that names the metrics of the injector', () => {
    const registry = new Registry();
    new InjectorMetrics(registry).watch(() => 0);
    const there = registry.getMetricsAsArray().map(({ name }) => name);
    const named = [...page('docs/kubernetes.md').matchAll(/^\| `(sluice_\w+)` \|/gm)].map(([, name]) => name);
    assert.deepEqual(named.sort(), there.sort());
  });

  it('is a dashboard of metrics that there are', () => {
    const registry = new Registry();
    const injector = new InjectorMetrics(registry);
    injector.watch(() => 0);
    new DestinationMetrics(registry).watch({ connections: 0, stalled: 0, topics: 0 });
    const identity = new IssuingMetrics({ version: '' });
    identity.watch({ concurrent: () => 0, connections: () => 0, issuerEndsMs: () => 0 });
    const known = new Set([
      ...FAMILIES.map(({ name }) => name),
      ...[registry, identity.registry].flatMap((all) => all.getMetricsAsArray().map(({ name }) => name)),
    ]);
    identity.registry.clear();
    const expressions = dashboardExpressions();
    assert.ok(expressions.length > 20);
    for (const expression of expressions) {
      const named = seriesIn(expression).map(({ name }) => name);
      assert.ok(named.length > 0, expression);
      for (const name of named) assert.ok(known.has(name.replace(/_(bucket|sum|count)$/, '')), name);
    }
  });

  it('is a dashboard of expressions that Prometheus understands', { skip: noPromtool }, () => {
    const rules = dashboardExpressions().map((expression, index) => ({
      record: `panel:${index}`,
      expr: expression.replaceAll('$__rate_interval', '5m').replaceAll(/\$(namespace|pod)/g, '.*'),
    }));
    const directory = mkdtempSync(join(tmpdir(), 'sluice-dashboard-'));
    const file = join(directory, 'rules.json');
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    const { status, lines } = promtool(['check', 'rules', file]);
    rmSync(directory, { recursive: true });
    assert.equal(status, 0, lines.join('\n'));
  });

  it('is a profile that allows io_uring, and no new namespaces', () => {
    const profile = JSON.parse(page('k8s/components/io-uring/io-uring.json')) as {
      defaultAction: string;
      architectures: string[];
      syscalls: { names: string[]; action: string; args?: object[] }[];
    };
    assert.equal(profile.defaultAction, 'SCMP_ACT_ERRNO');
    assert.deepEqual(profile.architectures, ['SCMP_ARCH_X86_64', 'SCMP_ARCH_AARCH64']);
    const allowed = profile.syscalls.filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && args === undefined);
    const names = allowed.flatMap((entry) => entry.names);
    for (const name of [
      'io_uring_setup',
      'io_uring_enter',
      'io_uring_register',
      'accept4',
      'splice',
      'epoll_pwait',
      'sched_setscheduler',
    ])
      assert.ok(names.includes(name), name);
    for (const name of ['mount', 'unshare', 'setns', 'ptrace', 'bpf', 'clone', 'clone3', 'socket', 'setuid', 'chroot'])
      assert.ok(!names.includes(name), name);
  });

  it('are scripts that Node.js can read', () => {
    const scripts = files.filter((name) => name.endsWith('.mjs'));
    assert.equal(scripts.length, 4);
    for (const script of scripts)
      execFileSync(process.execPath, ['--check', fileURLToPath(repository(`k8s/${script}`))]);
  });

  it('is a Containerfile that copies what there is, with what the commands load', () => {
    const text = page('k8s/Containerfile');
    const stages = text.split(/^FROM /m).slice(1);
    assert.equal(stages.length, 2);
    const copied = [...stages[0].matchAll(/^COPY (.+) \S+$/gm)].flatMap(([, sources]) => sources.split(' '));
    const top = readdirSync(repository('.'));
    for (const source of copied) assert.ok(top.includes(source), source);
    assert.ok(copied.includes('proto') && stages[1].includes('/sluice/proto'), 'the identity service reads it');
    assert.match(stages[1], /^USER \d+:\d+$/m);
    assert.match(stages[1], /install .*\biptables\b/);
  });
});
