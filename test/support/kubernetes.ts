// A control plane of Kubernetes without a cluster: etcd, the API server and, where they are asked for, its controllers. The programs are
// built by ../interop/peers/kubernetes.sh (`make kubernetes`). What is not there throws `Missing`, by name.
import { execFileSync } from 'node:child_process';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Pki } from './pki.js';
import { freePort, Missing, need, type RealServer, serve, start, temporary } from './servers.js';
import { eventually } from './sluice.js';

const SCRIPT = fileURLToPath(new URL('../../../test/interop/peers/kubernetes.sh', import.meta.url));
const HOST = '127.0.0.1';
/** Its Service's address, the first of the range: what pods would reach it by. */
const INSIDE = '10.96.0.1';
/** Who may do everything. */
const ADMIN = 'the-token-of-the-administrator';
const ISSUER = 'https://kubernetes.test';
/** It reads all kinds of objects before it is ready, on a machine that may be busy. */
const READY_MS = 120_000;
const CONTROLLERS =
  'endpointslice-controller,serviceaccount-controller,serviceaccount-token-controller,deployment-controller,replicaset-controller';

let folder: string | undefined;

/** Path of one of them, as ../interop/peers/kubernetes.sh has built it. */
export function program(name: 'etcd' | 'kube-apiserver' | 'kube-controller-manager' | 'kubectl'): string {
  if (name === 'etcd') return need(name);
  folder ??= execFileSync('bash', [SCRIPT, 'where'], { encoding: 'utf8' }).trim();
  try {
    return need(join(folder, name));
  } catch {
    throw new Missing(`${name} is not built (make kubernetes)`);
  }
}

/** Why Kubernetes can't be had; false where it can: for `skip`. */
export function lackingKubernetes(): string | false {
  try {
    program('etcd');
    program('kube-apiserver');
    program('kube-controller-manager');
    return false;
  } catch (error) {
    if (error instanceof Missing) return error.message;
    throw error;
  }
}

const AUDIT_POLICY = 'audit.json';
const AUDIT_LOG = 'audit.log';
/** Who asks for which object, and what that is answered with; of a watch its begin. */
const AUDITED = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
};

/** One request, as the API server has it on record. */
export interface AuditRecord {
  readonly verb: string;
  readonly user: { readonly username: string };
  readonly objectRef: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number };
}

/** What the API server has answered. */
export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export class Kubernetes {
  private apiServer: RealServer | null = null;
  private controllers: RealServer | null = null;
  private readonly agent: Agent;

  private constructor(
    /** Everything of it; removed at the end. */
    readonly directory: string,
    readonly port: number,
    private readonly etcd: RealServer,
    /** The authority that its certificate is from, as PEM. */
    readonly anchor: string,
    private readonly advertised: string | undefined,
  ) {
    this.agent = new Agent({ ca: anchor, keepAlive: false });
  }

  /**
   * With the API server ready, and without controllers. `advertised` is an address of it, where there is no default route to find one by;
   * `audit`: it keeps record of who asks for what.
   */
  static async start(advertised?: string, audit = false): Promise<Kubernetes> {
    // All of them, before anything is started.
    const lacking = lackingKubernetes();
    if (lacking !== false) throw new Missing(lacking);
    const directory = temporary('kubernetes', null);
    const pki = await Pki.make({ name: 'kubernetes' });
    pki.writeAnchor(directory, 'ca');
    (await pki.leaf({ dns: ['kubernetes.default.svc'], ips: [HOST, INSIDE] })).write(directory, 'server');
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    writeFileSync(join(directory, 'accounts.pub'), publicKey.export({ type: 'spki', format: 'pem' }));
    writeFileSync(join(directory, 'accounts.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
    writeFileSync(join(directory, 'tokens.csv'), `${ADMIN},administrator,1,"system:masters"\n`);
    if (audit) writeFileSync(join(directory, AUDIT_POLICY), JSON.stringify(AUDITED));
    const etcd = await startEtcd();
    const kubernetes = new Kubernetes(directory, await freePort(), etcd, pki.anchor, advertised);
    writeFileSync(kubernetes.kubeconfig, kubeconfigOf(kubernetes.url, kubernetes.authority, ADMIN));
    try {
      await kubernetes.startServer();
    } catch (error) {
      await kubernetes.stop();
      throw error;
    }
    return kubernetes;
  }

  get url(): string {
    return `https://${HOST}:${this.port}`;
  }

  /** What a token for the API server itself is made for. */
  readonly audience = ISSUER;

  /** File of the authority that its certificate is from. */
  get authority(): string {
    return join(this.directory, 'ca.pem');
  }

  /** File that tells programs where it is, and that whoever uses it may do everything. */
  get kubeconfig(): string {
    return join(this.directory, 'kubeconfig');
  }

  /** Starts the API server, again at the port that it had, and waits until it is ready. */
  async startServer(): Promise<void> {
    const own = temporary('kube-apiserver', null);
    const file = (name: string): string => join(this.directory, name);
    const args = [
      `--etcd-servers=http://${HOST}:${this.etcd.port}`,
      `--bind-address=${HOST}`,
      `--secure-port=${this.port}`,
      `--cert-dir=${own}`,
      `--tls-cert-file=${file('server.pem')}`,
      `--tls-private-key-file=${file('server-key.pem')}`,
      `--service-account-key-file=${file('accounts.pub')}`,
      `--service-account-signing-key-file=${file('accounts.key')}`,
      `--service-account-issuer=${ISSUER}`,
      `--token-auth-file=${file('tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-cluster-ip-range=10.96.0.0/16,fd96::/108',
      '--endpoint-reconciler-type=none',
      '--shutdown-delay-duration=0s',
      ...(this.advertised === undefined ? [] : [`--advertise-address=${this.advertised}`]),
      ...(existsSync(file(AUDIT_POLICY))
        ? [
            `--audit-policy-file=${file(AUDIT_POLICY)}`,
            `--audit-log-path=${file(AUDIT_LOG)}`,
            '--audit-log-mode=blocking',
          ]
        : []),
    ];
    const started = start(program('kube-apiserver'), args, null, own);
    this.apiServer = await serve('kube-apiserver', started, this.port, own, 'SIGKILL');
    await eventually(
      async () => {
        if (started.child.exitCode !== null) throw new Error(`kube-apiserver: ${started.said()}`);
        return (await this.ask('GET', '/readyz').catch(() => null))?.status === 200;
      },
      'the API server is ready',
      READY_MS,
    );
  }

  /** Ends it at once, as a crash does. What it has stored is there when it is started again. */
  async stopServer(): Promise<void> {
    await this.apiServer?.stop();
    this.apiServer = null;
  }

  /** Those that make accounts of namespaces, slices of services, and pods of deployments. There is no kubelet: pods stay pending. */
  async startControllers(): Promise<void> {
    const own = temporary('kube-controller-manager', null);
    const port = await freePort();
    const args = [
      `--controllers=${CONTROLLERS}`,
      `--kubeconfig=${this.kubeconfig}`,
      `--service-account-private-key-file=${join(this.directory, 'accounts.key')}`,
      '--leader-elect=false',
      `--bind-address=${HOST}`,
      `--secure-port=${port}`,
      `--cert-dir=${own}`,
    ];
    const started = start(program('kube-controller-manager'), args, null, own);
    this.controllers = await serve('kube-controller-manager', started, port, own, 'SIGKILL');
  }

  /** Makes etcd forget every version but the newest, as it does with what is older than some minutes. */
  async compact(): Promise<void> {
    const etcd = async (path: string, body: object): Promise<{ header?: { revision?: string } }> => {
      const url = `http://${HOST}:${this.etcd.port}/v3/kv/${path}`;
      const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body), headers: { connection: 'close' } });
      if (!answer.ok) throw new Error(`etcd: ${answer.status} ${await answer.text()}`);
      return (await answer.json()) as { header?: { revision?: string } };
    };
    const { header } = await etcd('range', { key: Buffer.from('none').toString('base64') });
    await etcd('compaction', { revision: header?.revision, physical: true });
  }

  async stop(): Promise<void> {
    await this.controllers?.stop();
    this.controllers = null;
    await this.stopServer();
    await this.etcd.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A request as the administrator, or whoever has `token`. */
  ask(method: string, path: string, body?: object, token = ADMIN): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const text = body === undefined ? '' : JSON.stringify(body);
      // With DELETE, Node.js does not say that there is a body.
      const headers = {
        authorization: `Bearer ${token}`,
        'content-type': type,
        'content-length': Buffer.byteLength(text),
      };
      const { agent } = this;
      const sent = request(new URL(path, this.url), { method, agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('error', reject).on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const said = Buffer.concat(chunks).toString();
          resolve({ status: response.statusCode ?? 0, body: said.startsWith('{') ? JSON.parse(said) : { text: said } });
        });
      });
      sent.on('error', reject).end(text);
    });
  }

  /** An answer that goes on, such as a watch's, as the administrator. */
  stream(path: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${ADMIN}` };
      request(new URL(path, this.url), { agent: this.agent, headers }, resolve).on('error', reject).end();
    });
  }

  /** The same as `ask`, of what has to work. */
  async done(method: string, path: string, body?: object): Promise<Answer['body']> {
    const answer = await this.ask(method, path, body);
    if (answer.status < 200 || answer.status > 299)
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** What somebody has asked for so far, where records are kept. */
  audited(user: string): AuditRecord[] {
    const lines = readFileSync(join(this.directory, AUDIT_LOG), 'utf8').split('\n');
    // The last one may be on its way.
    const records = lines.slice(0, -1).map((line) => JSON.parse(line) as AuditRecord);
    return records.filter((record) => record.user.username === user && record.objectRef !== undefined);
  }

  async namespace(name: string): Promise<void> {
    await this.done('POST', '/api/v1/namespaces', { metadata: { name } });
  }

  async account(namespace: string, name: string): Promise<void> {
    await this.done('POST', accounts(namespace), { metadata: { name } });
  }

  async deleteAccount(namespace: string, name: string): Promise<void> {
    await this.done('DELETE', `${accounts(namespace)}/${name}`);
  }

  /** A token of an account, as a projected volume has it. */
  async token(namespace: string, name: string, audience: string): Promise<string> {
    const spec = { audiences: [audience], expirationSeconds: 3600 };
    const { status } = await this.done('POST', `${accounts(namespace)}/${name}/token`, { spec });
    return (status as { readonly token: string }).token;
  }

  /** A token that Kubernetes has made, signed anew with other claims: it gives none out that ends within ten minutes. */
  signedAnew(token: string, claims: Readonly<Record<string, unknown>>): string {
    const [header, payload] = token.split('.');
    const said = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
    const signed = `${header}.${Buffer.from(JSON.stringify({ ...said, ...claims })).toString('base64url')}`;
    const key = readFileSync(join(this.directory, 'accounts.key'));
    return `${signed}.${createSign('RSA-SHA256').update(signed).sign(key).toString('base64url')}`;
  }

  /** Gives an account the rights of a cluster role. */
  async bind(role: string, namespace: string, name: string): Promise<void> {
    await this.done('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: `${role}-${namespace}-${name}`.replaceAll(':', '-') },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', namespace, name }],
    });
  }
}

/** What programs read to find an API server, as JSON. */
export function kubeconfigOf(server: string, authority: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server, 'certificate-authority': authority } }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  });
}

const accounts = (namespace: string): string => `/api/v1/namespaces/${namespace}/serviceaccounts`;

async function startEtcd(): Promise<RealServer> {
  const directory = temporary('etcd', null);
  mkdirSync(join(directory, 'data'), { mode: 0o700 });
  const [port, peers] = [await freePort(), await freePort()];
  const args = [
    `--data-dir=${join(directory, 'data')}`,
    `--listen-client-urls=http://${HOST}:${port}`,
    `--advertise-client-urls=http://${HOST}:${port}`,
    `--listen-peer-urls=http://${HOST}:${peers}`,
    `--initial-advertise-peer-urls=http://${HOST}:${peers}`,
    `--initial-cluster=default=http://${HOST}:${peers}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ];
  return serve('etcd', start(program('etcd'), args, null, directory), port, directory, 'SIGKILL');
}
