// `sluice inject`: adds a proxy to the pods in manifests.
import { readFileSync } from 'node:fs';
import { type CsiIssuer, csiIssuer } from '../inject/csi.js';
import { injectObject, type ObjectReport } from '../inject/inject-object.js';
import { installation, MESH_NAMESPACE } from '../inject/installation.js';
import { type Manifest, ManifestProblem, objectsOf } from '../inject/manifests.js';
import type { PlainMap } from '../inject/plain.js';
import { textOf, textsOf, valueAt } from '../inject/plain.js';
import { parseBoolean } from '../inject/values.js';
import { namespaceOf, roleOf } from '../inject/workloads.js';
import { sluiceVersion } from '../log/process-state.js';
import { clusterAnchors, isPem } from './cluster-anchors.js';
import { FLAGS, flagAnnotations, flagHelp, ignoredFlags, injectOptions } from './inject-flags.js';
import { FORMATS, type Format, reportLines, written } from './manifest-output.js';
import { manifestsFrom } from './manifest-sources.js';
import type { Arguments, Command } from './usage.js';
import { EXIT_FAILURE, messageOf, parseArguments, printError, UsageError } from './usage.js';

const MAX_SOURCES = 1000;

const options = {
  ...injectOptions,
  manual: { type: 'boolean' },
  ingress: { type: 'boolean' },
  'ignore-cluster': { type: 'boolean' },
  output: { type: 'string', short: 'o' },
  'trust-anchors': { type: 'string' },
  'mesh-namespace': { type: 'string' },
  'trust-domain': { type: 'string' },
  'cluster-networks': { type: 'string' },
  'csi-issuer': { type: 'string' },
} as const;

type Values = Arguments['values'];

export function formatOf(values: Values): Format {
  const { output } = values;
  if (output === undefined) return null;
  const format = FORMATS.find((known) => known === output);
  if (format === undefined) throw new UsageError(`-o ${String(output)}: write yaml or json`);
  return format;
}

/** All manifests that the arguments name. */
export async function manifestsOf(positionals: readonly string[]): Promise<Manifest[]> {
  if (positionals.length === 0)
    throw new UsageError('which manifests? name a file, a folder, a URL, or - for the standard input');
  if (positionals.filter((source) => source === '-').length > 1) throw new UsageError('- is given twice');
  const manifests: Manifest[] = [];
  for (const source of positionals) manifests.push(...(await manifestsFrom(source, process.stdin)));
  return manifests;
}

/** Writes the whole text and waits until it is written: a pipe holds 64 KiB, and its reader may be slow. */
const put = (stream: NodeJS.WriteStream, text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      // A reader that has seen enough closes the pipe.
      if (error === null || error === undefined || (error as NodeJS.ErrnoException).code === 'EPIPE') resolve();
      else reject(error);
    });
  });

/** Applies `change` to all objects, reports on each, and writes the result. Returns the exit code. */
export async function rewrite(
  command: string,
  manifests: readonly Manifest[],
  format: Format,
  done: string,
  change: (object: PlainMap) => ObjectReport,
): Promise<number> {
  const reports: string[] = [];
  const text = written(manifests, format, (object) => {
    const report = change(object);
    reports.push(...reportLines(object, report, done));
    return report.object;
  });
  if (reports.length === 0) reports.push(`${command}: there are no objects`);
  await put(process.stderr, `${reports.join('\n')}\n`);
  await put(process.stdout, text);
  return 0;
}

/** Prints problems of manifests as messages; rethrows other errors. */
export async function telling(command: string, run: () => Promise<number>): Promise<number> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof ManifestProblem)) throw error;
    printError(`${command}: ${error.message}`);
    return EXIT_FAILURE;
  }
}

function anchorsIn(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`--trust-anchors: ${messageOf(error)}`);
  }
  if (!isPem(text)) throw new UsageError(`--trust-anchors: ${file} has no certificate in PEM`);
  return text;
}

/** The trust anchors for injected proxies, from the file or else from the cluster. If there are none, says why and returns null. */
async function anchorsOf(values: Values, namespace: string): Promise<string | null> {
  const file = values['trust-anchors'];
  if (file !== undefined) return anchorsIn(String(file));
  if (values.manual !== true) return null;
  const asked = values['ignore-cluster'] === true ? { problem: '' } : await clusterAnchors(namespace);
  if ('anchors' in asked) return asked.anchors;
  const why = asked.problem === '' ? '' : ` (${asked.problem})`;
  printError(
    `sluice inject: without --trust-anchors FILE the proxies have no identity, and nothing is encrypted${why}`,
  );
  return null;
}

function csiIssuerOf(text: string | undefined): CsiIssuer | null {
  try {
    return text === undefined ? null : csiIssuer(text);
  } catch (error) {
    throw new UsageError(`--csi-issuer: ${messageOf(error)}`);
  }
}

/** Annotations of the namespaces among the objects. */
function namespacesIn(manifests: readonly Manifest[]): Map<string, Readonly<Record<string, string>>> {
  const found = new Map<string, Readonly<Record<string, string>>>();
  for (const { value } of manifests.flatMap(objectsOf))
    if (roleOf(value).kind === 'namespace')
      found.set(textOf(valueAt(value, ['metadata', 'name'])), textsOf(valueAt(value, ['metadata', 'annotations'])));
  return found;
}

async function inject(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArguments(switched(args), options, MAX_SOURCES);
  const format = formatOf(values);
  const manual = values.manual === true;
  const annotations = flagAnnotations(values);
  for (const line of ignoredFlags(values)) printError(`sluice inject: ${line}`);
  const text = (name: keyof typeof options): string | undefined =>
    values[name] === undefined ? undefined : String(values[name]);
  const namespace = text('mesh-namespace') ?? MESH_NAMESPACE;
  const trustDomain = text('trust-domain');
  const clusterNetworks = text('cluster-networks');
  const issuer = csiIssuerOf(text('csi-issuer'));
  const mesh = installation(sluiceVersion(), {
    trustAnchors: await anchorsOf(values, namespace),
    namespace,
    ...(trustDomain === undefined ? {} : { trustDomain }),
    ...(clusterNetworks === undefined ? {} : { clusterNetworks }),
    csiIssuer: issuer,
  });
  const manifests = await manifestsOf(positionals);
  const namespaces = namespacesIn(manifests);
  return rewrite('sluice inject', manifests, format, 'injected', (object) => {
    const home = namespaceOf(object);
    const namespaceAnnotations = namespaces.get(home) ?? {};
    return injectObject(object, {
      manual,
      word: values.ingress === true ? 'ingress' : 'enabled',
      annotations,
      context: { mesh, namespace: home, namespaceAnnotations, asked: true },
    });
  });
}

/** Switches may have a value, as in Linkerd's programs: `--manual=false`. */
function switched(args: readonly string[]): string[] {
  return args.flatMap((arg) => {
    const [, name, value] = /^--([a-z-]+)(?:=(.*))?$/.exec(arg) ?? [];
    if (name === undefined || !Object.hasOwn(options, name)) return [arg];
    if (Object.hasOwn(FLAGS, name) && FLAGS[name].on !== undefined) return [`--${name}=${value ?? FLAGS[name].on}`];
    if (options[name as keyof typeof options].type !== 'boolean' || value === undefined) return [arg];
    const read = parseBoolean(value);
    if ('problem' in read) throw new UsageError(`--${name}: ${read.problem}`);
    return read.value ? [`--${name}`] : [];
  });
}

export const injectCommand: Command = {
  help: `Usage: sluice inject FILE|FOLDER|URL|- … [OPTIONS]

Prepares Kubernetes manifests for the mesh, and prints them: \`sluice inject app.yaml | kubectl apply -f -\`. Pods,
Deployments, StatefulSets, DaemonSets, ReplicaSets, ReplicationControllers, Jobs, CronJobs, DeploymentConfigs and
Namespaces get the annotation linkerd.io/inject, which makes the controller add a proxy to their new pods. Services get
their opaque ports. Everything else stays unchanged, comments included, and injecting twice changes nothing. What was
done with each object, and why, is printed to standard error.

Options:
      --manual                     write the proxy's containers into the manifests, so that no controller has to
      --ingress                    accepted for compatibility with Linkerd; no effect
  -o, --output yaml|json           reformat everything, without comments
${flagHelp()}
      --trust-anchors FILE         with --manual: certificates that proxies trust (default: kubectl asks the cluster)
      --ignore-cluster             with --manual: don't ask the cluster; proxies without anchors have no identity
      --mesh-namespace NAMESPACE   with --manual: the controller's namespace (default sluice)
      --trust-domain DOMAIN        with --manual: the trust domain (default cluster.local)
      --cluster-networks LIST      with --manual: networks of pods and services
      --csi-issuer ISSUER          with --manual: proxies get certificates from a volume of cert-manager's csi-driver,
                                   signed by this issuer: NAME of a ClusterIssuer, KIND/NAME or KIND.GROUP/NAME
  -h, --help                       this text

Other options of linkerd inject are accepted with a warning, and have no effect.

Examples:
  sluice inject deploy.yml --opaque-ports=4406 | kubectl apply -f -
  kubectl get deploy -o yaml | sluice inject - | kubectl apply -f -
  sluice inject k8s/ --manual --trust-anchors ca.crt > injected.yaml

Exit codes: 0 done, even if objects were skipped; 1 a manifest can't be used, and nothing was printed; 2 wrong usage.`,
  run: (args) => telling('sluice inject', () => inject(args)),
};
