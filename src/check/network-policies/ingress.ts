// What mesh peers must be admitted to: the proxy, through which they reach every port that is not skipped.
import { formatSpans } from '../../redirect/port-list.js';
import { allowed, includes, isAllowedBlock, isLimited, peersOf, single, without } from './allowed.js';
import { also, type CheckContext, isCut, policiesOf } from './context.js';
import type { Findings } from './findings.js';
import type { Workload } from './workloads.js';

export function ingressCuts(context: CheckContext, workload: Workload, findings: Findings): void {
  const { proxy } = workload;
  const policies = policiesOf(context, workload, 'ingress');
  const rules = policies.flatMap(({ ingress }) => ingress ?? []);
  // Without any rule everything is refused, which is intended.
  if (proxy === null || rules.length === 0) return;
  const { inbound, admin } = proxy.ports;
  const passing = rules.filter((rule) => includes(allowed(rule, 'TCP', workload), inbound));
  const others = [...proxy.skipInbound, single(inbound), single(admin)];
  for (const rule of rules) {
    if (!isLimited(rule) || passing.includes(rule)) continue;
    const ports = without(allowed(rule, 'TCP', workload), others);
    if (ports.length === 0) continue;
    const add = `{ port: ${inbound}, protocol: TCP }`;
    for (const peer of peersOf(rule)) {
      if (peer.kind === 'block') {
        if (isAllowedBlock(context, peer, rule, passing)) continue;
        const message = `if there are pods of the mesh in ${peer.block.text}, they reach ${formatSpans(ports)} of WORKLOADS by port ${inbound} of its proxy, which is not admitted`;
        findings.add(rule.policy, `${rule.path}.ports`, message, add, 'hint', workload);
      } else if (isCut(context, rule, peer, passing)) {
        const message = `admits ${formatSpans(ports)} of WORKLOADS, and not ${inbound}, the port of its proxy, to which pods of the mesh send`;
        findings.add(rule.policy, `${rule.path}.ports`, message, add, 'error', workload);
      }
    }
  }
  if (rules.some((rule) => includes(allowed(rule, 'TCP', workload), admin))) return;
  const message = `nobody may reach ${admin} of WORKLOADS, where the metrics of its proxy are. The kubelet's probes come from the node, which NetworkPolicies let through`;
  const scrape = `a rule for your Prometheus with { port: ${admin}, protocol: TCP }, if it scrapes proxies`;
  findings.add(policies[0], 'spec.ingress', `${also(policies)}${message}`, scrape, 'hint', workload);
}
