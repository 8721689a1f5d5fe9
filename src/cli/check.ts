import type { Arguments, Command } from './usage.js';
import { configFile, parseArguments, UsageError } from './usage.js';

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  'network-policies': { type: 'boolean' },
  namespace: { type: 'string', short: 'n' },
  'controller-namespace': { type: 'string' },
  pre: { type: 'boolean' },
  kubeconfig: { type: 'string' },
  context: { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const;

/** Each kind of check, and the options that it takes. */
const ACCOMPANY = {
  '-c': ['config'],
  '--network-policies': ['network-policies', 'namespace', 'controller-namespace', 'kubeconfig', 'context', 'output'],
  '--pre': ['pre', 'controller-namespace', 'kubeconfig', 'context', 'output'],
  'a cluster': ['controller-namespace', 'kubeconfig', 'context', 'output'],
} as const;

function isJson(values: Arguments['values']): boolean {
  const { output = 'text' } = values;
  if (output !== 'text' && output !== 'json')
    throw new UsageError(`--output ${JSON.stringify(output)}: write text or json`);
  return output === 'json';
}

function onlyWith(mode: keyof typeof ACCOMPANY, values: Arguments['values']): void {
  const known: readonly string[] = ACCOMPANY[mode];
  for (const name of Object.keys(values))
    if (!known.includes(name)) throw new UsageError(`--${name} does not apply to ${mode}`);
}

const textOf = (value: string | boolean | undefined): string | null => (typeof value === 'string' ? value : null);

const accessOf = ({
  kubeconfig,
  context,
}: Arguments['values']): { kubeconfig: string | null; context: string | null } => ({
  kubeconfig: textOf(kubeconfig),
  context: textOf(context),
});

async function cluster({ values }: Arguments): Promise<number> {
  const pre = values.pre === true;
  onlyWith(pre ? '--pre' : 'a cluster', values);
  const json = isJson(values);
  const { runClusterCheck } = await import('./check-cluster.js');
  const namespace = textOf(values['controller-namespace']) ?? 'sluice';
  return runClusterCheck(
    { pre, namespace, kubeconfig: textOf(values.kubeconfig), context: textOf(values.context) },
    json,
  );
}

async function policies({ values, positionals }: Arguments): Promise<number> {
  onlyWith('--network-policies', values);
  const { namespace = 'default', 'controller-namespace': controller = 'sluice' } = values;
  const options = { namespace: String(namespace), controllerNamespace: String(controller) };
  const json = isJson(values);
  const { checkClusterPolicies, checkPolicyFiles } = await import('./check-network-policies.js');
  if (positionals.length > 0) return checkPolicyFiles(positionals, options, json);
  return checkClusterPolicies(accessOf(values), options, json);
}

export const checkCommand: Command = {
  help: `Usage: sluice check -c FILE
       sluice check --network-policies [FILE|FOLDER|URL|-]…
       sluice check [--pre]

-c FILE reads FILE as \`sluice run\` would, SLUICE_ variables included, and the files of endpoints, certificates and
keys that it names, and starts nothing. Every mistake gets a line on stderr:

  sluice.yaml:4:14: listeners[0].listen: "localhost" is not numeric; write "127.0.0.1:8080"

--network-policies reads manifests, or the cluster: NetworkPolicies, the workloads that they select, and namespaces.
It finds policies that admit an application's port but not 4143, the port of its proxy, to which the mesh sends; and
policies that keep a proxy from its peers, the controller or DNS. Each finding names the object, the field, and what to
add.

Without either, it checks a cluster: its API server, the controller, trust anchors, issuer and webhook, and the proxies
in pods. With --pre it checks whether Sluice can be installed. It finds the cluster as kubectl does, or, in a pod, by
the pod's own settings.

Options:
  -c, --config FILE                 the configuration
      --network-policies            check manifests; - is the standard input
  -n, --namespace NAME              for objects that name no namespace (default: default)
      --controller-namespace NAME   the controller's namespace (default: sluice)
      --pre                         check before the installation
      --kubeconfig FILE             in place of KUBECONFIG and ~/.kube/config
      --context NAME                in place of the current one
  -o, --output text|json            how findings are written (text)
  -h, --help                        this text

Examples:
  sluice check -c sluice.yaml && kill -HUP "$(pidof sluice)"
  sluice check --pre && kubectl apply -k k8s/ && sluice check
  kubectl get networkpolicies,deployments,namespaces -A -o yaml | sluice check --network-policies -

Exit codes: 0 all is right, 1 something is wrong, 2 wrong usage, or a file that is not a manifest.`,
  async run(args) {
    const parsed = parseArguments(args, OPTIONS, Number.POSITIVE_INFINITY);
    const { values, positionals } = parsed;
    if (values['network-policies'] === true) return policies(parsed);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`);
    if (values.config === undefined) return cluster(parsed);
    onlyWith('-c', values);
    const file = configFile(values);
    return (await import('./check-configuration.js')).checkConfiguration(file);
  },
};
