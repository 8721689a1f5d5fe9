// Finds NetworkPolicies that admit peers to an application's ports, but not to its proxy's port, which they use in the mesh.
import type { ObjectFinding, ObjectProblem } from '../finding.js';
import type { SourcedObject } from '../objects.js';
import type { CheckContext, CheckOptions } from './context.js';
import { egressCuts } from './egress.js';
import { Findings } from './findings.js';
import { ingressCuts } from './ingress.js';
import { isPolicy, readPolicy } from './policy.js';
import { Namespaces, workloadsIn } from './workloads.js';

export interface Checked {
  readonly findings: readonly ObjectFinding[];
  readonly problems: readonly ObjectProblem[];
  readonly policies: number;
  /** Workloads that have a proxy, or will get one. */
  readonly meshed: number;
}

/** Everything that would cut off mesh traffic. */
export function checkNetworkPolicies(objects: readonly SourcedObject[], options: CheckOptions): Checked {
  const namespaces = new Namespaces(objects);
  const read = objects.filter(({ object }) => isPolicy(object)).map((object) => readPolicy(object, options.namespace));
  const policies = read.map(({ policy }) => policy);
  const workloads = workloadsIn(objects, options.namespace, namespaces);
  const context: CheckContext = { options, namespaces, workloads, policies };
  const findings = new Findings();
  const meshed = workloads.filter(({ proxy }) => proxy !== null);
  for (const workload of meshed) {
    ingressCuts(context, workload, findings);
    egressCuts(context, workload, findings);
  }
  const problems = read.flatMap(({ reading }) => reading.problems);
  return { findings: findings.list(), problems, policies: policies.length, meshed: meshed.length };
}
