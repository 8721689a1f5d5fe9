import { type AccessOptions, findAccess } from '../check/cluster/access.js';
import { clusterObjects } from '../check/cluster/objects.js';
import { type ObjectFinding, problemLine } from '../check/finding.js';
import { type Checked, checkNetworkPolicies } from '../check/network-policies/check.js';
import type { CheckOptions } from '../check/network-policies/context.js';
import { type SourcedObject, sourced } from '../check/objects.js';
import { ManifestProblem } from '../inject/manifests.js';
import { ApiClient } from '../kubernetes/client.js';
import { manifestsFrom } from './manifest-sources.js';
import { EXIT_FAILURE, EXIT_USAGE, print, printError } from './usage.js';

const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;

function textOf({ source, object, path, message, add, severity }: ObjectFinding): string {
  const hint = severity === 'hint' ? 'hint: ' : '';
  return `${hint}${source}: ${object}: ${path}: ${message}${add === '' ? '' : `\n    add ${add}`}`;
}

function report({ findings, policies, meshed }: Checked): void {
  for (const finding of findings) print(textOf(finding));
  const errors = findings.filter(({ severity }) => severity === 'error').length;
  const hints = findings.length - errors;
  const looked = `${plural(policies, 'policy', 'policies')}, ${plural(meshed, 'workload')} with a proxy`;
  const found = errors === 0 ? 'nothing of the mesh is cut' : plural(errors, 'finding');
  print(`${looked}: ${found}${hints === 0 ? '' : `, ${plural(hints, 'hint')}`}`);
}

/** Checks objects, whatever their source. */
export function checkPolicies(objects: readonly SourcedObject[], options: CheckOptions, json: boolean): number {
  const checked = checkNetworkPolicies(objects, options);
  for (const problem of checked.problems) printError(problemLine(problem));
  if (json) print(JSON.stringify(checked, null, 2));
  else report(checked);
  if (checked.problems.length > 0) return EXIT_USAGE;
  return checked.findings.some(({ severity }) => severity === 'error') ? EXIT_FAILURE : 0;
}

/** `sluice check --network-policies PATH…`. */
export async function checkPolicyFiles(
  paths: readonly string[],
  options: CheckOptions,
  json: boolean,
): Promise<number> {
  try {
    const objects: SourcedObject[] = [];
    for (const path of paths)
      for (const manifest of await manifestsFrom(path, process.stdin)) objects.push(...sourced(manifest));
    return checkPolicies(objects, options, json);
  } catch (error) {
    if (!(error instanceof ManifestProblem)) throw error;
    printError(error.message);
    return EXIT_USAGE;
  }
}

/** `sluice check --network-policies`: checks a cluster's own objects. */
export async function checkClusterPolicies(
  access: AccessOptions,
  options: CheckOptions,
  json: boolean,
): Promise<number> {
  const client = new ApiClient(findAccess(access, process.env));
  try {
    return checkPolicies(await clusterObjects(client), options, json);
  } finally {
    client.close();
  }
}
