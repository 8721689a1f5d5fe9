// What annotations make of a pod.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { variables } from '../../src/config/overrides.js';
import { ANNOTATIONS, OWN_ANNOTATIONS, UNSUPPORTED_ANNOTATIONS } from '../../src/inject/annotations.js';
import { injectPod } from '../../src/inject/inject-pod.js';
import { logLevelOf } from '../../src/inject/log-level.js';
import { asMap, mapsIn, type PlainMap, valueAt } from '../../src/inject/plain.js';
import { problemText } from '../../src/inject/problem.js';
import { parseDuration, quantityOf } from '../../src/inject/values.js';
import {
  container,
  containerOf,
  context,
  initOptions,
  injected,
  mesh,
  opaque,
  pod,
  problems,
  variablesOf,
} from './pods.js';

const L = 'config.linkerd.io/';
const S = 'config.sluice.io/';

describe('annotations without measure', () => {
  it('cost little, and the pod starts', () => {
    const long = 'x_y,'.repeat(50_000);
    const { problems: told } = injected(
      pod({
        [`${L}opaque-ports`]: Array.from({ length: 20_000 }, (_, index) => 2 * index + 1).join(','),
        [`${L}skip-inbound-ports`]: long,
        [`${L}proxy-log-level`]: '['.repeat(200_000),
        [`${L}shutdown-grace-period`]: '1'.repeat(200_000),
        [`${L}proxy-additional-env`]: '['.repeat(200_000),
        ...Object.fromEntries(Array.from({ length: 1000 }, (_, index) => [`${L}unknown-${index}`, ''])),
      }),
    );
    assert.equal(told.length, 100);
    const ports = opaque({ [`${L}opaque-ports`]: Array.from({ length: 20_000 }, (_, i) => 2 * i + 1).join(',') });
    assert.equal(ports.split(',').length, 1000);
    const [level] = problems({ [`${L}proxy-log-level`]: '['.repeat(200_000) });
    assert.match(level, /has more than 4096 characters/);
  });
});

describe('settings of the proxy', () => {
  it('become its variables', () => {
    const { SLUICE_SIDECAR_OPAQUE_PORTS: _ports, ...usual } = variablesOf(injected(pod()).pod);
    const own = (account: string): string => `${account}.sluice.serviceaccount.identity.sluice.cluster.local`;
    assert.deepEqual(usual, {
      SLUICE_SIDECAR_POD: undefined,
      SLUICE_SIDECAR_NAMESPACE: undefined,
      SLUICE_SIDECAR_NODE: undefined,
      SLUICE_SIDECAR_ACCOUNT: undefined,
      SLUICE_WORKERS: '1',
      SLUICE_IDENTITY_NAME:
        '$(SLUICE_SIDECAR_ACCOUNT).$(SLUICE_SIDECAR_NAMESPACE).serviceaccount.identity.sluice.cluster.local',
      SLUICE_IDENTITY_LINKERD_ADDRESS: 'sluice-identity.sluice.svc:8080',
      SLUICE_IDENTITY_LINKERD_SERVER_NAME: own('sluice-identity'),
      SLUICE_IDENTITY_LINKERD_TOKEN: '/var/run/secrets/tokens/sluice-identity-token',
      SLUICE_IDENTITY_LINKERD_ANCHORS: mesh().trustAnchors,
      SLUICE_DESTINATION_ADDRESS: 'sluice-destination.sluice.svc:8086',
      SLUICE_DESTINATION_SERVER_NAME: own('sluice-destination'),
    });
    const annotations = {
      [`${L}proxy-log-level`]: 'warn,linkerd=debug,hickory=error',
      [`${L}access-log`]: 'apache',
      [`${L}proxy-admin-shutdown`]: 'enabled',
      [`${L}shutdown-grace-period`]: '1m30s',
      [`${L}proxy-inbound-connect-timeout`]: '150ms',
      [`${L}proxy-outbound-connect-timeout`]: '2s',
      [`${L}proxy-outbound-discovery-cache-unused-timeout`]: '10s',
      [`${L}proxy-disable-inbound-protocol-detect-timeout`]: 'true',
      [`${L}proxy-disable-outbound-protocol-detect-timeout`]: 'true',
      [`${L}default-inbound-policy`]: 'cluster-authenticated',
      [`${L}proxy-cpu-limit`]: '1500m',
      [`${L}proxy-additional-env`]: '[{"name": "SLUICE_DRAIN_HOLD", "value": "1s"}, {"name": "A", "valueFrom": {}}]',
    };
    const result = variablesOf(injected(pod(annotations), { mesh: mesh({ clusterNetworks: '10.0.0.0/8' }) }).pod);
    for (const [name, value] of Object.entries({
      SLUICE_LOG_LEVEL: 'debug',
      SLUICE_LOG_ACCESS: 'true',
      SLUICE_ADMIN_SHUTDOWN: 'true',
      SLUICE_DRAIN_GRACE: '90s',
      SLUICE_SIDECAR_CONNECT_TIMEOUT_INBOUND: '150ms',
      SLUICE_SIDECAR_CONNECT_TIMEOUT_OUTBOUND: '2s',
      SLUICE_DESTINATIONS_IDLE_TIMEOUT: '10s',
      SLUICE_DETECT_TIMEOUT: '0',
      SLUICE_SIDECAR_INBOUND_POLICY: 'cluster-authenticated',
      SLUICE_SIDECAR_CLUSTER_NETWORKS: '10.0.0.0/8',
      SLUICE_WORKERS: '2',
      SLUICE_DRAIN_HOLD: '1s',
    }))
      assert.equal(result[name], value, name);
    assert.ok(Object.hasOwn(result, 'A'));
  });

  it('are resources that an API server takes', () => {
    const resources = (annotations: PlainMap): unknown =>
      containerOf(injected(pod(annotations)).pod, 'sluice-proxy').resources;
    assert.equal(resources({}), undefined);
    const all = {
      'proxy-cpu-request': '100m',
      'proxy-cpu-limit': '1',
      'proxy-memory-request': '20Mi',
      'proxy-memory-limit': '0.5Gi',
    };
    const keyed = Object.fromEntries(Object.entries(all).map(([name, value]) => [L + name, value]));
    assert.deepEqual(resources(keyed), {
      limits: { cpu: '1', memory: '0.5Gi' },
      requests: { cpu: '100m', memory: '20Mi' },
    });
    assert.deepEqual(resources({ ...keyed, [`${L}proxy-cpu-request`]: '2' }), {
      limits: { cpu: '1', memory: '0.5Gi' },
      requests: { memory: '20Mi' },
    });
    assert.match(problems({ ...keyed, [`${L}proxy-cpu-request`]: '2' })[0], /2 is above the limit of 1/);
    assert.match(problems({ [`${L}proxy-memory-limit`]: '64 MB' })[0], /"64 MB" is not a quantity such as 64Mi/);
    assert.equal(quantityOf('1e3'), 1000);
    assert.equal(quantityOf('.5Ki'), 512);
    for (const text of ['', '1kb', 'Ki', '-1', '0x1']) assert.ok(Number.isNaN(quantityOf(text)), text);
  });

  it('fall back to what holds without them where they are wrong', () => {
    const namespaceAnnotations = { [`${L}proxy-log-level`]: 'debug', [`${L}proxy-uid`]: '9' };
    const wrong = pod({ [`${L}proxy-log-level`]: 'loud', [`${L}proxy-uid`]: '0' });
    const { pod: result, problems: told } = injected(wrong, { namespaceAnnotations });
    assert.equal(variablesOf(result).SLUICE_LOG_LEVEL, 'debug');
    assert.equal(initOptions(result)['--proxy-uid'], '9');
    assert.equal(told.length, 2);
    const texts: [string, string, RegExp][] = [
      ['proxy-await', 'sometimes', /neither enabled nor disabled/],
      ['proxy-enable-native-sidecar', 'ja', /neither true nor false/],
      ['shutdown-grace-period', '30', /not a duration such as/],
      ['shutdown-grace-period', '9999h', /not from 1ms to 596h/],
      ['admin-port', '4143', /two of the ports of the proxy are the same/],
      ['default-inbound-policy', 'all-authentcated', /did you mean "all-authenticated"/],
      ['access-log', 'xml', /is not known/],
      ['proxy-additional-env', '{}', /is not a JSON list/],
      ['proxy-additional-env', '[{"name": "A", "value": 1}]', /put the value in quotes/],
      [
        'proxy-additional-env',
        '[{"name": "SLUICE_WORKES", "value": "1"}]',
        /is not a configuration key; did you mean "SLUICE_WORKERS"/,
      ],
      ['proxy-additional-env', '[{"name": "SLUICE_WORKERS", "value": "many"}]', /"SLUICE_WORKERS" found "many"/],
      ['proxy-additional-env', '[{"name": "A", "vlue": "1"}]', /has "vlue"/],
      ['proxy-disable-inbound-protocol-detect-timeout', 'true', /one timeout serves both directions/],
      ['seccomp-profile', '/a', /"\/a" is not a path below/],
      ['seccomp-profile', 'a/../b', /is not a path below/],
      ['proxy-image', 'a b', /is not an image name/],
      ['proxy-version', 'a:b', /is not a tag/],
      ['image-pull-policy', 'always', /did you mean "Always"/],
      ['opaque-port', '1', /is not known; did you mean "opaque-ports"/],
      ['proxy-require-identity-inbound-ports', '80', /has no meaning here: .*default-inbound-policy/],
    ];
    for (const [name, value, message] of texts) {
      const prefix = Object.hasOwn(OWN_ANNOTATIONS, name) ? S : L;
      const [first, ...more] = problems({ [prefix + name]: value });
      assert.match(first ?? '', message, name);
      assert.deepEqual(more, [], name);
    }
  });

  it('are told of where they mean nothing here', () => {
    assert.deepEqual(
      problems({ [`${L}control-port`]: '4190', [`${L}proxy-image`]: 'cr.l5d.io/linkerd/proxy' }, {}, 'note'),
      [
        'config.linkerd.io/control-port of the pod: has no meaning here: there is no such port',
        "config.linkerd.io/proxy-image of the pod: has no meaning here: names an image of Linkerd's; config.sluice.io/proxy-image and config.sluice.io/proxy-version name ours",
      ],
    );
    const names = [
      ...Object.keys(ANNOTATIONS),
      ...Object.keys(OWN_ANNOTATIONS),
      ...Object.keys(UNSUPPORTED_ANNOTATIONS),
    ];
    assert.equal(new Set(names).size, names.length);
  });

  it('are keys of the configuration', () => {
    const known = variables();
    const all = pod({ [`${L}shutdown-grace-period`]: '1s', [`${L}access-log`]: 'json' });
    for (const name of Object.keys(variablesOf(injected(all).pod))) assert.ok(known.has(name), name);
  });

  it('are an image, which Linkerd’s annotations do not name', () => {
    const image = (annotations: PlainMap, whole = 'registry.test:5000/sluice:1'): unknown =>
      containerOf(injected(pod(annotations), { mesh: mesh({ image: whole }) }).pod, 'sluice-init').image;
    assert.equal(image({ [`${L}proxy-image`]: 'x', [`${L}proxy-version`]: 'y' }), 'registry.test:5000/sluice:1');
    assert.equal(image({ [`${S}proxy-version`]: '2' }), 'registry.test:5000/sluice:2');
    assert.equal(image({ [`${S}proxy-version`]: '2' }, 'registry.test:5000/sluice'), 'registry.test:5000/sluice:2');
    assert.equal(image({ [`${S}proxy-image`]: 'other:3' }), 'other:3');
  });

  it('are log levels as Linkerd has them', () => {
    for (const [text, level] of Object.entries({
      info: 'info',
      'warn,linkerd=info,hickory=error': 'info',
      'linkerd=trace,warn': 'debug',
      'warn,h2=debug': 'warn',
      'linkerd[{x=1,y}]=debug,info': 'debug',
      off: 'error',
      WARN: 'warn',
      'loud,linkerd=louder': null,
      '': null,
    }))
      assert.equal(logLevelOf(text), level, text);
    assert.deepEqual(parseDuration('1h1m1s1ms'), { value: 3_661_001 });
    assert.deepEqual(parseDuration('0.5s'), { value: 500 });
  });
});

describe('a pod with a proxy', () => {
  it('has it before its own init containers, as a native sidecar', () => {
    const { pod: result } = injected(pod({}, { initContainers: [{ name: 'migrate' }] }));
    const spec = asMap(result.spec);
    assert.deepEqual(
      mapsIn(spec.initContainers).map(({ name, restartPolicy }) => [name, restartPolicy]),
      [
        ['sluice-init', undefined],
        ['sluice-proxy', 'Always'],
        ['migrate', undefined],
      ],
    );
    assert.deepEqual(mapsIn(spec.containers), [container()]);
    const { startupProbe, lifecycle } = containerOf(result, 'sluice-proxy');
    assert.deepEqual(startupProbe, {
      httpGet: { path: '/ready', port: 'sluice-admin' },
      periodSeconds: 1,
      failureThreshold: 120,
    });
    assert.equal(lifecycle, undefined);
  });

  it('or as the first of its containers, with the rules laid after its own init containers', () => {
    const annotations = {
      [`${L}proxy-enable-native-sidecar`]: 'false',
      'config.alpha.linkerd.io/proxy-wait-before-exit-seconds': '40',
    };
    const { pod: result, problems: told } = injected(pod(annotations, { initContainers: [{ name: 'migrate' }] }));
    const spec = asMap(result.spec);
    assert.deepEqual(
      [...mapsIn(spec.initContainers), ...mapsIn(spec.containers)].map(({ name }) => name),
      ['migrate', 'sluice-init', 'sluice-proxy', 'app'],
    );
    const { startupProbe, restartPolicy, lifecycle } = containerOf(result, 'sluice-proxy');
    assert.deepEqual([startupProbe, restartPolicy], [undefined, undefined]);
    assert.deepEqual(lifecycle, {
      postStart: { exec: { command: ['sluice', 'await'] } },
      preStop: { sleep: { seconds: 30 } },
    });
    assert.match(problemText(told[0]), /40 s is longer than the 30 s/);
    const off = injected(
      pod({ ...annotations, [`${L}proxy-await`]: 'disabled' }, { terminationGracePeriodSeconds: 60 }),
    );
    assert.deepEqual(containerOf(off.pod, 'sluice-proxy').lifecycle, { preStop: { sleep: { seconds: 40 } } });
  });

  it('has rights only where they are needed', () => {
    const { pod: result } = injected(pod({ [`${S}seccomp-profile`]: 'profiles/sluice.json' }));
    const init = asMap(containerOf(result, 'sluice-init').securityContext);
    assert.deepEqual(init.capabilities, { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] });
    assert.deepEqual([init.runAsUser, init.runAsNonRoot, init.allowPrivilegeEscalation], [0, false, false]);
    assert.deepEqual(containerOf(result, 'sluice-proxy').securityContext, {
      runAsUser: 2102,
      runAsGroup: 2102,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'Localhost', localhostProfile: 'profiles/sluice.json' },
    });
  });

  it('lets its kubelet ask the application by HTTP, whatever the policy', () => {
    const probe = (path: string, port: unknown, more: PlainMap = {}): PlainMap => ({
      httpGet: { path, port, ...more },
    });
    const app = container({
      livenessProbe: probe('/live?x=1', 'http'),
      readinessProbe: probe('/ready', 9000),
      startupProbe: probe('/tls', 8443, { scheme: 'HTTPS' }),
      lifecycle: { preStop: probe('/stop', '8080') },
    });
    const again = container({ name: 'b', readinessProbe: probe('', 9000), livenessProbe: { tcpSocket: { port: 1 } } });
    const { pod: result } = injected(pod({}, { containers: [app, again] }));
    assert.equal(variablesOf(result).SLUICE_SIDECAR_PROBES, '8080/live,9000/ready,8080/stop,9000/');
  });

  it('has no identity where there are no anchors', () => {
    const { pod: result } = injected(pod(), { mesh: mesh({ trustAnchors: null }) });
    const names = Object.keys(variablesOf(result));
    assert.deepEqual(
      names.filter((name) => name.includes('IDENTITY')),
      [],
    );
    assert.deepEqual(valueAt(result, ['spec', 'volumes']), [{ name: 'sluice-init-lock', emptyDir: {} }]);
  });

  it('says what holds differently than one may think', () => {
    const spec = {
      restartPolicy: 'Never',
      securityContext: { runAsUser: 2102 },
      containers: [container({ ports: [{ containerPort: 53, protocol: 'UDP' }, { containerPort: 4143 }] })],
    };
    const told = [
      ...problems({ [`${L}proxy-enable-native-sidecar`]: 'false' }, spec),
      ...problems({ 'linkerd.io/inject': 'ingress' }, spec, 'note'),
    ].join('\n');
    for (const message of [
      /POST \/shutdown/,
      /port 4143 is the proxy's own/,
      /runs as user 2102/,
      /53\/UDP/,
      /ingress means/,
    ])
      assert.match(told, message);
  });
});

describe('a pod without one', () => {
  const reason = (from: PlainMap, changes: Parameters<typeof context>[0] = {}): string => {
    const { refusal } = injectPod(from, context(changes));
    return refusal === null ? 'injected' : refusal.reason;
  };

  it('has a reason', () => {
    const cases: [string, PlainMap][] = [
      ['disabled', pod({ 'linkerd.io/inject': 'disabled' })],
      ['disabled', pod({ 'sluice.io/inject': 'disabled' })],
      ['disabled', pod({ 'linkerd.io/inject': 'true' })],
      ['injected', pod({ 'linkerd.io/inject': 'disabled', 'sluice.io/inject': 'enabled' })],
      ['host-network', pod({}, { hostNetwork: true })],
      ['no-token', pod({}, { automountServiceAccountToken: false })],
      ['windows', pod({}, { os: { name: 'windows' } })],
      ['mirror', pod({ 'kubernetes.io/config.mirror': 'x' })],
      ['no-containers', pod({}, { containers: [] })],
      ['foreign-sidecar', pod({}, { containers: [container(), { name: 'istio-proxy', image: 'x' }] })],
      ['foreign-sidecar', pod({}, { initContainers: [{ name: 'x', image: 'cr.l5d.io/linkerd/proxy-init:v2' }] })],
      ['injected', pod({}, { containers: [container({ name: 'sluice-proxy' })] })],
    ];
    for (const [expected, from] of cases) assert.equal(reason(from), expected);
    assert.equal(reason(pod({ [`${S}project-token`]: 'true' }, { automountServiceAccountToken: false })), 'injected');
    assert.equal(
      reason(pod({}, { automountServiceAccountToken: false }), { mesh: mesh({ trustAnchors: null }) }),
      'injected',
    );
  });

  it('goes by its namespace where it says nothing itself', () => {
    const bare = { metadata: {}, spec: { containers: [container()] } };
    assert.equal(reason(bare), 'not-asked');
    assert.equal(reason(bare, { asked: true }), 'injected');
    assert.equal(reason(bare, { namespaceAnnotations: { 'linkerd.io/inject': 'enabled' } }), 'injected');
    assert.equal(reason(bare, { namespaceAnnotations: { 'linkerd.io/inject': 'disabled' }, asked: true }), 'disabled');
    assert.equal(reason(pod(), { namespaceAnnotations: { 'linkerd.io/inject': 'disabled' } }), 'injected');
  });
});
