// `sluice identity dev`: makes certificates for trying out mutual TLS.
import { join, resolve } from 'node:path';
import type { DevLeaf, DevName } from '../identity/issuing/dev.js';
import { parseLifetime } from '../identity/issuing/lifetime.js';
import { parseWorkloadName, trustDomainProblem } from '../identity/names.js';
import type { Command } from './usage.js';
import { parseArguments, print, UsageError } from './usage.js';

const DEFAULT_NAMES = 'default/web,default/client,localhost';
const MAX_NAMES = 100;

/** `NAMESPACE/ACCOUNT`, or a server's name. */
function parseName(text: string, mesh: string, trustDomain: string): DevName {
  const [namespace, account, more] = text.split('/');
  const server = account === undefined;
  const whole = server ? text : `${account}.${namespace}.serviceaccount.identity.${mesh}.${trustDomain}`;
  const name = parseWorkloadName(server ? whole.replace(/^\*\./, '') : whole);
  if (more !== undefined || typeof name === 'string' || name.kind === 'spiffe' || /[\s:@]/.test(text))
    throw new UsageError(`--names: ${JSON.stringify(text)} is neither NAMESPACE/ACCOUNT nor a DNS name`);
  if (server) return { server: text.toLowerCase() };
  if (name.account === null || name.account.namespace !== namespace)
    throw new UsageError(`--names: ${JSON.stringify(text)} has a namespace that is not a DNS label`);
  return { account: name.account };
}

function parseNames(text: string, mesh: string, trustDomain: string): DevName[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))].filter((name) => name !== '');
  if (names.length === 0) throw new UsageError('--names: no name in it; write for example default/web');
  if (names.length > MAX_NAMES) throw new UsageError(`--names: ${names.length} names; at most ${MAX_NAMES}`);
  return names.map((name) => parseName(name, mesh, trustDomain));
}

/** A configuration that works with the first account and the first server name. */
function snippet(directory: string, leaves: readonly DevLeaf[]): string[] {
  const quoted = (name: string): string => JSON.stringify(join(resolve(directory), name));
  const files = ({ file }: DevLeaf): string =>
    `certificate: ${quoted(`${file}.pem`)}, key: ${quoted(`${file}-key.pem`)}`;
  const account = leaves.find((leaf) => leaf.account !== null);
  const server = leaves.find((leaf) => leaf.account === null);
  const identity = account && ['identity:', `  files: { ${files(account)}, anchors: ${quoted('anchors.pem')} }`];
  return [
    'To try them, in sluice.yaml:',
    '',
    ...(identity ?? []),
    'listeners:',
    '  - name: edge',
    '    listen: "127.0.0.1:8443"',
    '    service: web',
    ...(server === undefined ? [] : ['    tls:', `      certificates: [{ ${files(server)} }]`]),
    'services:',
    '  web: { endpoints: ["127.0.0.1:9001"] }',
  ];
}

export const identityDevCommand: Command = {
  help: `Usage: sluice identity dev DIR [OPTIONS]

Writes test certificates and keys for a mesh to DIR. Existing files are not overwritten.

  anchors.pem, anchors-key.pem   the root that everybody trusts
  issuer.pem, issuer-key.pem     the issuer, for \`sluice identity serve\`
  NAME.pem, NAME-key.pem         for each name a certificate with its chain, and its key
  NAME.token, tokens             for each account a token that \`sluice identity serve --tokens\` accepts

The keys are not protected. Use them only for tests.

Options:
      --names LIST         accounts as NAMESPACE/ACCOUNT, and names of servers, separated by commas
                           (default ${DEFAULT_NAMES})
      --lifetime TIME      of the certificates: 12h, 30d (default 30d)
      --trust-domain NAME  default cluster.local
      --mesh NAME          the namespace of the mesh, a part of accounts' names (default sluice)
      --keys KIND          ecdsa (P-256, the default) or rsa (2048 bits)
  -h, --help               this text

Examples:
  sluice identity dev certificates
  sluice identity dev certificates --names shop/web,shop/cart,shop.example --lifetime 2h

Exit codes: 0 made, 1 a file is there already or can't be written, 2 wrong usage.`,
  async run(args) {
    const options = {
      names: { type: 'string' },
      lifetime: { type: 'string' },
      'trust-domain': { type: 'string' },
      mesh: { type: 'string' },
      keys: { type: 'string' },
    } as const;
    const { values, positionals } = parseArguments(args, options, 1);
    const [directory] = positionals;
    if (directory === undefined || directory === '') throw new UsageError('to which directory? add DIR');
    const { 'trust-domain': trustDomain = 'cluster.local', mesh = 'sluice', keys = 'ecdsa' } = values;
    const { names = DEFAULT_NAMES, lifetime = '30d' } = values;
    const lifetimeMs = parseLifetime(String(lifetime));
    if (lifetimeMs === null)
      throw new UsageError(`--lifetime: ${lifetime} is not a duration; write for example 12h or 30d`);
    const domainProblem = trustDomainProblem(String(trustDomain));
    if (domainProblem !== null) throw new UsageError(`--trust-domain: it ${domainProblem}`);
    if (keys !== 'ecdsa' && keys !== 'rsa')
      throw new UsageError(`--keys: ${keys} is unknown; expected one of ecdsa, rsa`);
    const wanted = parseNames(String(names), String(mesh), String(trustDomain));
    // Loaded only now: the other commands do not need the certificate library.
    const { makeDevFiles } = await import('../identity/issuing/dev.js');
    const leaves = await makeDevFiles({ directory, names: wanted, keys, lifetimeMs, nowMs: Date.now() });
    const until = new Date(Date.now() + lifetimeMs).toISOString().slice(0, 10);
    const lines = leaves.map((leaf) => `  ${join(directory, `${leaf.file}.pem`)}  ${leaf.names.join(', ')}`);
    print([`Made in ${directory}, good until ${until}:`, ...lines, '', ...snippet(directory, leaves)].join('\n'));
    return 0;
  },
};
