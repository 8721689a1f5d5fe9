// Lists of ports in annotations: who says what, and what counts.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultOpaquePorts } from '../../src/config/ports.js';
import { asMap, mapsIn, valueAt } from '../../src/inject/plain.js';
import { problemText } from '../../src/inject/problem.js';
import { PREFIXES, setting } from '../../src/kubernetes/names.js';
import { isListed, spansOf } from '../../src/kubernetes/opaque-ports.js';
import { parsePortList } from '../../src/redirect/port-list.js';
import { containerOf, initOptions, injected, opaque, pod, problems, variablesOf } from './pods.js';

const L = 'config.linkerd.io/';
const S = 'config.sluice.io/';

describe('lists of ports', () => {
  it('replace the default, or add to it with a plus', () => {
    const usual = '25,587,3306,4444,5432,6379,9300,11211';
    assert.equal(opaque({}), usual);
    assert.equal(opaque({ [`${L}opaque-ports`]: '4406' }), '4406');
    assert.equal(opaque({ [`${L}opaque-ports`]: ' + 4406, ' }), '25,587,3306,4406,4444,5432,6379,9300,11211');
    assert.equal(opaque({ [`${L}opaque-ports`]: '' }), 'none');
    assert.equal(opaque({ [`${L}opaque-ports`]: '4000-4010,4005-4020,25' }), '25,4000-4020');
  });

  it('are those of the pod before those of its namespace; each adds to what holds without it', () => {
    const namespace = { [`${L}opaque-ports`]: '5000' };
    assert.equal(opaque({}, namespace), '5000');
    assert.equal(opaque({ [`${L}opaque-ports`]: '6000' }, namespace), '6000');
    assert.equal(opaque({ [`${L}opaque-ports`]: '+6000' }, namespace), '5000,6000');
    assert.match(opaque({ [`${L}opaque-ports`]: '+6000' }, { [`${L}opaque-ports`]: '+5000' }), /^25,.*,5000,.*6000/);
  });

  it('are ours before Linkerd’s on the same object', () => {
    assert.equal(opaque({ [`${L}opaque-ports`]: '1', [`${S}opaque-ports`]: '2' }), '2');
    assert.equal(opaque({ [`${L}opaque-ports`]: '1' }, { [`${S}opaque-ports`]: '2' }), '1');
  });

  it('know the ports of containers by their names, and tell of names that are none', () => {
    assert.equal(opaque({ [`${L}opaque-ports`]: 'mysql,9000' }), '4406,9000');
    assert.deepEqual(problems({ [`${L}opaque-ports`]: 'galera,mysql' }), [
      'config.linkerd.io/opaque-ports of the pod: "galera" is not a port, nor the name of one that the pod has',
    ]);
    // Some pods of a namespace have the port, others have not.
    const { problems: none } = injected(pod(), { namespaceAnnotations: { [`${L}opaque-ports`]: 'galera' } });
    assert.deepEqual(none, []);
    assert.match(
      problems({ [`${L}skip-outbound-ports`]: 'mysql' })[0],
      /ports of other hosts, whose names are not known here/,
    );
  });

  it('lose their bad entries only', () => {
    const list = '3306,x_y,70000,9-1,4406';
    assert.equal(opaque({ [`${L}opaque-ports`]: list }), '3306,4406');
    const found = injected(pod({ [`${L}opaque-ports`]: list })).problems;
    assert.deepEqual(
      found.map(({ object, annotation, entry }) => [object, annotation, entry]),
      ['x_y', '70000', '9-1'].map((entry) => ['the pod', `${L}opaque-ports`, entry]),
    );
  });

  it('say so where they are nothing but commas', () => {
    assert.equal(opaque({ [`${L}opaque-ports`]: ',,' }), 'none');
    assert.deepEqual(problems({ [`${L}opaque-ports`]: ',,' }), [
      'config.linkerd.io/opaque-ports of the pod: ",," has no entries; for an empty list write ""',
    ]);
    assert.deepEqual(problems({ [`${L}opaque-ports`]: '3306,' }), []);
  });

  it('are numbers in ASCII, and nothing like one', () => {
    for (const text of ['٣٣', '１２', '0x19', '1.5', '-5', '1-', '-', '4000–4010', '99999999999999999999'])
      assert.match(problems({ [`${L}opaque-ports`]: text }).join(), /is (not a port|neither a port)/, text);
    assert.match(
      problems({ [`${L}opaque-ports`]: '1e3' }).join(),
      /"1e3" is not a port, nor the name of one that the pod has/,
    );
    assert.equal(opaque({ [`${L}opaque-ports`]: '0' }), 'none');
  });

  it('bypass the proxy where they are to be skipped', () => {
    assert.deepEqual(initOptions(injected(pod()).pod), {
      '--proxy-uid': '2102',
      '--inbound-ports-to-ignore': '4567-4568',
      '--outbound-ports-to-ignore': '4567-4568',
    });
    const annotations = {
      [`${L}skip-inbound-ports`]: 'http',
      [`${L}skip-outbound-ports`]: '+3306',
      [`${L}skip-subnets`]: '10.0.0.0/8, fd00::/8,10.0.0.1/8',
      [`${L}proxy-uid`]: '7',
      [`${L}proxy-gid`]: '8',
      [`${L}inbound-port`]: '5143',
      [`${L}outbound-port`]: '5140',
      [`${L}admin-port`]: '5191',
      [`${L}close-wait-timeout`]: '1h',
    };
    const { pod: result, problems: told } = injected(pod(annotations));
    assert.deepEqual(initOptions(result), {
      '--proxy-uid': '7',
      '--proxy-gid': '8',
      '--incoming-proxy-port': '5143',
      '--outgoing-proxy-port': '5140',
      '--inbound-ports-to-ignore': '5191,8080',
      '--outbound-ports-to-ignore': '3306,4567-4568',
      '--subnets-to-ignore': '10.0.0.0/8,fd00::/8',
      '--timeout-close-wait-secs': '3600',
    });
    assert.match(problemText(told[0]), /skip-subnets of the pod: "10\.0\.0\.1\/8" has bits set/);
    assert.equal(valueAt(containerOf(result, 'sluice-init'), ['securityContext', 'privileged']), true);
    const proxy = containerOf(result, 'sluice-proxy');
    assert.equal(valueAt(proxy, ['securityContext', 'runAsUser']), 7);
    assert.deepEqual(
      mapsIn(proxy.ports).map(({ containerPort }) => containerPort),
      [5143, 5191],
    );
    const { SLUICE_SIDECAR_INBOUND, SLUICE_SIDECAR_OUTBOUND, SLUICE_ADMIN_LISTEN } = variablesOf(result);
    assert.deepEqual([SLUICE_SIDECAR_INBOUND, SLUICE_SIDECAR_OUTBOUND, SLUICE_ADMIN_LISTEN], ['5143', '5140', ':5191']);
  });
});

describe('who goes by lists of ports', () => {
  const names = new Map([
    ['http', 8080],
    ['mysql', 4406],
  ]);
  const entry = fc.constantFrom(
    '25',
    '4406',
    '8000-9000',
    'mysql',
    'http',
    'galera',
    '0',
    '9-3',
    '70000',
    ' 6000 ',
    '',
    'x_y',
  );
  const list = fc
    .tuple(fc.constantFrom('', '+', ' + '), fc.array(entry, { maxLength: 4 }))
    .map(([sign, entries]) => sign + entries.join(','));
  const prefixes = fc.constantFrom(...PREFIXES);
  const annotations = fc
    .array(fc.tuple(prefixes, list), { maxLength: 3 })
    .map((pairs) => Object.fromEntries(pairs.map(([prefix, text]) => [`${prefix}opaque-ports`, text])));
  const ports = [1, 24, 25, 443, 3306, 4406, 6000, 7999, 8000, 8080, 9000, 9001, 65_535];

  it('is of one mind: what clients are told of a pod is what its proxy does', () => {
    const check = (own: Record<string, string>, namespaceAnnotations: Record<string, string>): void => {
      const text = opaque(own, namespaceAnnotations);
      const proxy = text === 'none' ? [] : parsePortList(text).spans;
      const told = [setting(own, 'opaque-ports'), setting(namespaceAnnotations, 'opaque-ports')];
      const copied = valueAt(injected(pod(own), { namespaceAnnotations }).pod, ['metadata', 'annotations']);
      const afterwards = [setting(asMap(copied), 'opaque-ports'), told[1]];
      const named = (name: string): number[] => [names.get(name) ?? []].flat();
      for (const port of ports) {
        const does = proxy.some(({ first, last }) => first <= port && port <= last);
        assert.equal(isListed(port, told, spansOf(defaultOpaquePorts), named), does, `${port} of ${text}`);
        assert.equal(isListed(port, afterwards, spansOf(defaultOpaquePorts), named), does, `${port} of ${text}`);
      }
    };
    fc.assert(fc.property(annotations, annotations, check), { numRuns: 500 });
  });
});
