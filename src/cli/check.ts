import type { Arguments, Command } from './usage.js';
import { configFile, parseArguments, UsageError } from './usage.js';

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  'network-policies': { type: 'boolean' },
  namespace: { type: 'string', short: 'n' },
  'controller-namespace': { type: 'string' },
  output: { type: 'string', short: 'o' },
} as const;

/** Options that say what is checked, each with those that go with it. */
const ACCOMPANY: Readonly<Record<string, readonly string[]>> = {
  config: [],
  'network-policies': ['namespace', 'controller-namespace', 'output'],
};

function isJson(values: Arguments['values']): boolean {
  const { output = 'text' } = values;
  if (output !== 'text' && output !== 'json')
    throw new UsageError(`--output ${JSON.stringify(output)}: write text or json`);
  return output === 'json';
}

function onlyWith(mode: string, values: Arguments['values']): void {
  for (const name of Object.keys(values))
    if (name !== mode && !ACCOMPANY[mode].includes(name))
      throw new UsageError(`--${name} says nothing beside --${mode}`);
}

async function policies({ values, positionals }: Arguments): Promise<number> {
  onlyWith('network-policies', values);
  if (positionals.length === 0)
    throw new UsageError('--network-policies: which manifests? add files, folders, URLs, or - for the standard input');
  const { namespace = 'default', 'controller-namespace': controller = 'sluice' } = values;
  const options = { namespace: String(namespace), controllerNamespace: String(controller) };
  const json = isJson(values);
  return (await import('./check-network-policies.js')).checkPolicyFiles(positionals, options, json);
}

export const checkCommand: Command = {
  help: `Usage: sluice check -c FILE
       sluice check --network-policies FILE|FOLDER|-…

-c FILE reads FILE as \`sluice run\` would, SLUICE_ variables included, and the files of endpoints, certificates and
keys that it names, and starts nothing. Every mistake gets a line on stderr:

  sluice.yaml:4:14: listeners[0].listen: "localhost" is not numeric; write "127.0.0.1:8080"

--network-policies reads manifests: NetworkPolicies, the workloads that they select, and their namespaces. It finds
policies that admit a port of an application and not 4143, the port of its proxy, to which the mesh sends; and those
that keep a proxy from its peers, the controller or DNS. Each finding names object, field, and what to add.

Options:
  -c, --config FILE                 the configuration
      --network-policies            check manifests; - is the standard input
  -n, --namespace NAME              of objects that name none (default)
      --controller-namespace NAME   where the controller is (sluice)
  -o, --output text|json            how findings are written (text)
  -h, --help                        this text

Examples:
  sluice check -c sluice.yaml && kill -HUP "$(pidof sluice)"
  kubectl get networkpolicies,deployments,namespaces -A -o yaml | sluice check --network-policies -

Exit codes: 0 all is right, 1 it is not, 2 wrong usage, or manifests that are none.`,
  async run(args) {
    const parsed = parseArguments(args, OPTIONS, Number.POSITIVE_INFINITY);
    const { values, positionals } = parsed;
    if (values['network-policies'] === true) return policies(parsed);
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${JSON.stringify(positionals[0])}`);
    const file = configFile(values);
    onlyWith('config', values);
    return (await import('./check-configuration.js')).checkConfiguration(file);
  },
};
