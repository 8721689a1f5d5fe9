// The decision tree of what has to be said about a port that is no HTTP, leaf by leaf, with real connections between pods: is it TLS, is the other
// end in the cluster, is the port in the default list of opaque ports? And what opaque and skip do at each leaf.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GivenObjects, Kubelet, type RunningPod } from '../support/kubelet.js';
import { LabDestinations, startLabIdentity } from '../support/lab-mesh.js';
import { application, injectedPod, plainPod } from '../support/meshed-pods.js';
import { Pki } from '../support/pki.js';
import { enterLab, PodLab } from '../support/pod-lab.js';
import { eventually } from '../support/sluice.js';
import { SERVERS } from './decision-servers.js';
import { PORT } from './pods-application.js';
import { ask } from './pods-support.js';

const why = enterLab(import.meta.url);
const SERVICE = ['10.96.0.80', 'fd96::80'] as const;
const PORTS = {
  greets: { listed: 3306, none: 7001, opaque: 7002, skip: 7003, 'listed, skip': 4444 },
  tls: { listed: 5432, none: 8001, opaque: 8002, skip: 8003, 'listed, skip': 9300 },
} as const;
type Kind = keyof typeof PORTS;
/** `listed`: nothing is said of a port in the default list; `none`: of one that is not. */
type Said = keyof (typeof PORTS)['greets'];

const all = (kind: Kind): number[] => Object.values(PORTS[kind]);
const both = (...said: Said[]): number[] => said.flatMap((one) => [PORTS.greets[one], PORTS.tls[one]]);

const WORDS: Readonly<Record<Said, string>> = {
  none: 'and nothing is said',
  opaque: 'and its port is marked opaque',
  skip: 'and its port is skipped',
  listed: 'on a port of the default list',
  'listed, skip': 'on a port of the default list that is skipped',
};

interface Leaf {
  readonly kind: Kind;
  /** The other end. */
  readonly where: 'in' | 'outside';
  readonly said: Said;
  /** What the client's proxy has found; null: no connection meets it. */
  readonly client: string | null;
  /** What came to the server's: a peer's connection, or TLS that it passes on. */
  readonly server: 'mesh' | 'passed' | null;
}

const leaf = (kind: Kind, where: Leaf['where'], said: Said, client: Leaf['client'], server: Leaf['server']): Leaf => ({
  kind,
  where,
  said,
  client,
  server,
});

const LEAVES: readonly Leaf[] = [
  // TLS: nothing has to be said. Marked opaque, or listed, it is encrypted once more between proxies.
  leaf('tls', 'in', 'none', 'tls: detected', 'passed'),
  leaf('tls', 'in', 'opaque', 'opaque: said', 'mesh'),
  leaf('tls', 'in', 'skip', null, null),
  leaf('tls', 'in', 'listed', 'opaque: said', 'mesh'),
  leaf('tls', 'in', 'listed, skip', null, null),
  leaf('tls', 'outside', 'none', 'tls: detected', null),
  // An annotation of the client's own pod is of ports that it serves.
  leaf('tls', 'outside', 'opaque', 'tls: detected', null),
  leaf('tls', 'outside', 'skip', null, null),
  leaf('tls', 'outside', 'listed', 'opaque: listed', null),
  leaf('tls', 'outside', 'listed, skip', null, null),
  // No TLS, in the cluster: nothing where the port is listed, opaque where it is not, and until somebody says so it costs a wait.
  leaf('greets', 'in', 'none', 'opaque: detected', 'mesh'),
  leaf('greets', 'in', 'opaque', 'opaque: said', 'mesh'),
  leaf('greets', 'in', 'skip', null, null),
  leaf('greets', 'in', 'listed', 'opaque: said', 'mesh'),
  leaf('greets', 'in', 'listed, skip', null, null),
  // No TLS, outside: nothing can be marked there, so that skipping it is what spares it the wait.
  leaf('greets', 'outside', 'none', 'opaque: detected', null),
  leaf('greets', 'outside', 'opaque', 'opaque: detected', null),
  leaf('greets', 'outside', 'skip', null, null),
  leaf('greets', 'outside', 'listed', 'opaque: listed', null),
  leaf('greets', 'outside', 'listed, skip', null, null),
];

/** Why connections are what they are: because somebody has said so, because the port is listed, or because it was looked at. */
const REASONS: Readonly<Record<string, string>> = { hint: 'said', annotation: 'said', 'default-port': 'listed' };
const VERDICT = /^sluice_verdict_total\{verdict="(?!http)([^"]*)",reason="([^"]*)",direction="outbound".*\} (\d+)$/gm;
const ARRIVED = /^sluice_listener_tls_total\{tls="(true|opaque)".*direction="inbound".*\} (\d+)$/gm;

/** What a pod's proxy has counted of connections that leave it, and of those of the mesh and of TLS that come in. */
async function found(pod: RunningPod): Promise<Map<string, number>> {
  const page = await (await fetch(`http://${pod.ip}:4191/metrics`)).text();
  const counts = new Map<string, number>();
  const add = (what: string, count: string) => counts.set(what, (counts.get(what) ?? 0) + Number(count));
  for (const [, verdict, reason, count] of page.matchAll(VERDICT))
    add(`${verdict}: ${REASONS[reason] ?? 'detected'}`, count);
  for (const [, tls, count] of page.matchAll(ARRIVED)) add(tls === 'true' ? 'mesh' : 'passed', count);
  return counts;
}

/** What was counted since then. */
const grown = (before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): string[] =>
  [...after].flatMap(([what, count]) => Array.from({ length: count - (before.get(what) ?? 0) }, () => what));

describe('the decision tree', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubelet: Kubelet;
  let destinations: LabDestinations;
  let client: RunningPod;
  let server: RunningPod;
  let outside: RunningPod;

  before(async () => {
    lab = await PodLab.start();
    const objects = new GivenObjects();
    kubelet = new Kubelet(lab, objects);
    const { mesh, service, pki } = await startLabIdentity(kubelet, objects, ['default/default']);
    destinations = await LabDestinations.start(pki);
    lab.setServices([service, destinations.service]);
    const { chain, key } = await (await Pki.make()).leaf({ dns: ['server.test'] });
    const servers = {
      name: 'servers',
      image: 'node:lts',
      args: [SERVERS, ...all('greets').map(String), '-', ...all('tls').map(String)],
      env: [
        { name: 'CERTIFICATE', value: chain },
        { name: 'KEY', value: key },
      ],
      startupProbe: { tcpSocket: { port: PORTS.tls['listed, skip'] }, periodSeconds: 1, failureThreshold: 60 },
    };
    const skip = both('skip', 'listed, skip').join(',');
    const annotations = {
      'config.linkerd.io/opaque-ports': `+${both('opaque').join(',')}`,
      'config.linkerd.io/skip-inbound-ports': `${PORT.CONTROL},${skip}`,
      'config.linkerd.io/skip-outbound-ports': skip,
    };
    client = kubelet.run(injectedPod(plainPod('client', { containers: [application()] }), mesh, annotations));
    server = kubelet.run(injectedPod(plainPod('server', { containers: [application(), servers] }), mesh, annotations));
    outside = kubelet.run(plainPod('outside', { containers: [servers] }));
    await Promise.all([client, server, outside].map((pod) => pod.untilReady()));
    const told = destinations.tell({
      name: 'server',
      addresses: SERVICE,
      ports: [...all('greets'), ...all('tls')],
      opaque: both('listed', 'opaque', 'listed, skip'),
      members: [{ pod: server, meshed: true }],
    });
    lab.setServices([service, destinations.service, told]);
    // From the first connection on somebody can be asked what is behind addresses.
    await ask(client, { call: 'tls', host: SERVICE[0], port: PORTS.tls.none, name: 'server.test' });
    const asks = async (): Promise<boolean> => (await client.metric('sluice_destination_service_connected')) === 1;
    await eventually(asks, 'the destination service is asked');
  });
  after(async () => {
    await destinations?.stop();
    await kubelet?.stop();
    lab?.stop();
  });

  for (const { kind, where, said, client: left, server: entered } of LEAVES)
    it(`${kind === 'tls' ? 'TLS' : 'a server that speaks first'}, ${where} the cluster, ${WORDS[said]}`, async () => {
      const host = where === 'in' ? SERVICE[0] : outside.ip;
      const port = PORTS[kind][said];
      const before = [await found(client), await found(server)];
      const { text } =
        kind === 'tls'
          ? await ask(client, { call: 'tls', host, port, name: 'server.test' })
          : await ask(client, { call: 'tcp', host, port, text: '' });
      assert.equal(text, `served ${port}\n`);
      const after = [await found(client), await found(server)];
      assert.deepEqual(
        after.map((counts, i) => grown(before[i], counts)),
        [left, entered].map((what) => (what === null ? [] : [what])),
      );
    });
});
