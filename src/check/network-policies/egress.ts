// What mesh pods must be able to reach: the proxies of their peers, the controller, and DNS.
import { formatSpans } from '../../redirect/port-list.js';
import {
  allowed,
  includes,
  inNamespace,
  isAllowedBlock,
  isEverybody,
  isLimited,
  isPeer,
  isUnknown,
  peersOf,
  portsOf,
  single,
  without,
} from './allowed.js';
import { mayHavePods } from './block.js';
import { also, type CheckContext, isCut, policiesOf } from './context.js';
import type { Findings } from './findings.js';
import type { Peer, Policy, Rule } from './policy.js';
import type { Workload } from './workloads.js';

/** DNS's own port, and its pods' ports: a policy sees the port behind the Service (OpenShift's is 5353). */
const DNS = [53, 5353];
/** The application's own TLS, which goes to the endpoint's port unchanged. */
const HTTPS = 443;
/** Ports of the controller's pods. */
const CONTROLLER = [
  { port: 8080, what: 'identity' },
  { port: 8086, what: 'destination' },
] as const;

/** The ports that a rule admits for applications of `target`, as text; null: applications in no manifest. Empty: none. */
function applicationPorts(rule: Rule, own: Workload, peer: Peer, target: Workload | null): string {
  const skipped = own.proxy?.skipOutbound ?? [];
  const theirs = target?.proxy?.skipInbound ?? [];
  const { inbound, admin } = portsOf(target);
  const others = [...skipped, ...theirs, ...DNS.map(single), single(inbound), single(admin)];
  if (rule.peers.length === 0 || peer.kind === 'block') others.push(single(HTTPS));
  const spans = without(allowed(rule, 'TCP', target), others);
  const unknown =
    target === null ? rule.ports.filter(({ protocol, name }) => protocol === 'TCP' && isUnknown(name)) : [];
  return [formatSpans(spans), ...unknown.map(({ name }) => JSON.stringify(name))]
    .filter((part) => part !== '')
    .join(',');
}

const controllersIn = ({ options, workloads }: CheckContext): Workload[] =>
  workloads.filter(({ text }) => text === `Deployment ${options.controllerNamespace}/sluice-controller`);

/** Whether a rule's peers may include the controller's pods. */
function reachesController(context: CheckContext, { policy, peers }: Rule): boolean {
  const { namespaces, options } = context;
  const { controllerNamespace } = options;
  const known = controllersIn(context);
  return (
    peers.length === 0 ||
    peers.some((peer) => {
      if (peer.kind === 'block') return mayHavePods(peer.block);
      if (!inNamespace(peer.namespaces, controllerNamespace, policy.namespace, namespaces)) return false;
      return known.length === 0 || known.some((workload) => isPeer(peer, workload, policy.namespace, namespaces));
    })
  );
}

/** Whether it selects the controller's namespace, and no other with workloads. */
function isController({ options, workloads, namespaces }: CheckContext, peer: Peer, own: string): boolean {
  if (peer.kind !== 'pods' || (peer.namespaces?.length ?? 0) === 0) return false;
  const names = (namespace: string): boolean => inNamespace(peer.namespaces, namespace, own, namespaces);
  const others = workloads.filter(({ namespace }) => namespace !== options.controllerNamespace);
  return names(options.controllerNamespace) && !others.some(({ namespace }) => names(namespace));
}

/** Whether it may admit DNS: a named UDP port is known only to its pods. */
const allowsDns = (rule: Rule): boolean =>
  DNS.some((port) => includes(allowed(rule, 'UDP', null), port)) ||
  rule.ports.some(({ protocol, name }) => protocol === 'UDP' && isUnknown(name));

function missing(context: CheckContext, workload: Workload, policies: readonly Policy[], findings: Findings): void {
  const rules = policies.flatMap(({ egress }) => egress ?? []);
  const lacking: string[] = [];
  const add: string[] = [];
  const { controllerNamespace } = context.options;
  const [controller = null] = controllersIn(context);
  const ports = CONTROLLER.filter(
    ({ port }) =>
      !rules.some((rule) => includes(allowed(rule, 'TCP', controller), port) && reachesController(context, rule)),
  );
  if (ports.length > 0) {
    const list = ports.map(({ port, what }) => `${port} (${what})`).join(' and ');
    lacking.push(`${list} of the controller in ${controllerNamespace}`);
    add.push(
      `{ to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ${controllerNamespace} } } }], ports: [${ports
        .map(({ port }) => `{ port: ${port}, protocol: TCP }`)
        .join(', ')}] }`,
    );
  }
  if (!rules.some(allowsDns)) {
    lacking.push(`DNS (${DNS[0]}, UDP and TCP), by which it finds the controller`);
    add.push(`{ ports: [{ port: ${DNS[0]}, protocol: UDP }, { port: ${DNS[0]}, protocol: TCP }] }`);
  }
  if (lacking.length === 0) return;
  const message = `${also(policies)}the proxy of WORKLOADS may not reach ${lacking.join(', nor ')}: without an identity it is not ready`;
  findings.add(policies[0], 'spec.egress', message, add.join(' and '), 'error', workload);
}

/** What a rule admits: workloads with a proxy, and null for anything not in the manifests. */
function targetsOf(context: CheckContext, { policy }: Rule, peer: Peer): (Workload | null)[] {
  const known = context.workloads.filter((it) => isPeer(peer, it, policy.namespace, context.namespaces));
  const meshed = known.filter(({ proxy }) => proxy !== null);
  return known.length === 0 || peer.kind === 'block' || isEverybody(peer) ? [null, ...meshed] : meshed;
}

/** The problem of a rule for one of its peers, if any; it is reported once. */
function peerCut(
  context: CheckContext,
  own: Workload,
  rule: Rule,
  peer: Peer,
  rules: readonly Rule[],
  findings: Findings,
): void {
  const { policy, path } = rule;
  for (const target of targetsOf(context, rule, peer)) {
    const { inbound } = portsOf(target);
    const passing = rules.filter((other) => includes(allowed(other, 'TCP', target), inbound));
    const ports = applicationPorts(rule, own, peer, target);
    if (ports === '' || passing.includes(rule)) continue;
    const add = `{ port: ${inbound}, protocol: TCP }`;
    if (peer.kind === 'block') {
      if (isAllowedBlock(context, peer, rule, passing)) continue;
      const message = `if there are pods of the mesh in ${peer.block.text}, WORKLOADS sends to port ${inbound} of their proxies, which is not admitted`;
      findings.add(policy, `${path}.ports`, message, add, 'hint', own);
    } else {
      if (!isCut(context, rule, peer, passing)) continue;
      const message = `lets WORKLOADS reach ${ports} of its peers, and not ${inbound}, to which it sends if they are in the mesh`;
      findings.add(policy, `${path}.ports`, message, add, 'error', own);
    }
    return;
  }
}

export function egressCuts(context: CheckContext, workload: Workload, findings: Findings): void {
  const policies = policiesOf(context, workload, 'egress');
  if (policies.length === 0) return;
  const rules = policies.flatMap(({ egress }) => egress ?? []);
  // If no rule lets anything out, the author thought of the application: its proxy does not become ready without the controller.
  for (const rule of rules.filter(isLimited))
    for (const peer of peersOf(rule))
      if (!isController(context, peer, rule.policy.namespace)) peerCut(context, workload, rule, peer, rules, findings);
  missing(context, workload, policies, findings);
}
