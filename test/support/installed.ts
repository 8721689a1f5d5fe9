// `kubectl apply -k k8s/` on a control plane without a cluster: the controller runs as a process, by the token of its account, and API
// servers call its webhook at a port of this machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Kubectl } from './kubectl.js';
import type { Kubernetes } from './kubernetes.js';
import { eventually, inherited } from './sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
export const MANIFESTS = fileURLToPath(new URL('../../../k8s', import.meta.url));
const NAMESPACE = 'sluice';
export const CONTROLLER_USER = `system:serviceaccount:${NAMESPACE}:sluice-controller`;
export const WEBHOOK = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sluice-injector';
const WAIT_MS = 60_000;

interface Logged {
  readonly message: string;
  readonly port?: number;
  readonly adminPort?: number;
  readonly serial?: string;
}

export interface Listed<T> {
  readonly items: readonly T[];
}

interface Named {
  readonly metadata: { readonly name: string };
}

export class RunningController {
  readonly log: Logged[] = [];
  readonly #closed: Promise<unknown>;
  #raw = '';

  constructor(readonly child: ChildProcess) {
    let rest = '';
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#raw = (this.#raw + chunk).slice(-20_000);
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.startsWith('{')) this.log.push(JSON.parse(line) as Logged);
    });
    this.#closed = once(child, 'close');
  }

  /** The last of what it has said. */
  get said(): string {
    return this.#raw;
  }

  #port(message: string, key: 'port' | 'adminPort' = 'port'): number {
    return this.log.find((line) => line.message === message)?.[key] ?? 0;
  }

  get identity(): number {
    return this.#port('identity service started');
  }

  get injector(): number {
    return this.#port('injector started');
  }

  get admin(): number {
    return this.#port('controller started', 'adminPort');
  }

  async page(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`http://127.0.0.1:${this.admin}${path}`);
    return { status: response.status, body: await response.text() };
  }

  /** Until it has begun and says that it is ready. */
  async ready(): Promise<void> {
    try {
      await eventually(
        async () => {
          if (this.child.exitCode !== null) throw new Error('it has ended');
          return this.admin !== 0 && (await this.page('/ready').catch(() => null))?.status === 200;
        },
        'the controller is ready',
        WAIT_MS,
      );
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : error}\n${this.said}`);
    }
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode === null) this.child.kill(signal);
    await this.#closed;
    return this.child.exitCode;
  }
}

export class Installed {
  readonly kubectl: Kubectl;

  private constructor(readonly kubernetes: Kubernetes) {
    this.kubectl = new Kubectl(kubernetes);
  }

  /** Applies the manifests; controllers of Kubernetes make pods of them, which stay pending. */
  static async apply(kubernetes: Kubernetes, folder = MANIFESTS): Promise<Installed> {
    const installed = new Installed(kubernetes);
    await installed.kubectl.apply(folder);
    return installed;
  }

  /** Starts a controller and waits until it is ready; its webhook is called from then on. */
  async start(args: readonly string[] = []): Promise<RunningController> {
    const { kubernetes } = this;
    const token = join(kubernetes.directory, 'controller-token');
    writeFileSync(token, await kubernetes.token(NAMESPACE, 'sluice-controller', kubernetes.audience));
    const ports = ['identity', 'destination', 'injector'].flatMap((name) => [`--${name}-listen`, '127.0.0.1:0']);
    const api = ['--api-token', token, '--api-ca', kubernetes.authority];
    const all = [...ports, '--admin', '127.0.0.1:0', ...api, '--injector-name', 'localhost', ...args];
    const env = {
      ...inherited(),
      KUBERNETES_SERVICE_HOST: '127.0.0.1',
      KUBERNETES_SERVICE_PORT: String(kubernetes.port),
      SLUICE_POD_NAMESPACE: NAMESPACE,
      SLUICE_POD_NAME: await this.#pod(),
    };
    const child = spawn(process.execPath, [MAIN, 'controller', ...all], { stdio: ['ignore', 'ignore', 'pipe'], env });
    const controller = new RunningController(child);
    try {
      await controller.ready();
      await this.call(controller);
    } catch (error) {
      await controller.stop('SIGKILL');
      throw error;
    }
    return controller;
  }

  /** It is what API servers call from now on: there is no network of a cluster. */
  async call({ injector }: RunningController): Promise<void> {
    const url = `https://localhost:${injector}/inject`;
    const change = [{ op: 'replace', path: '/webhooks/0/clientConfig', value: { url } }];
    await this.kubectl.done([
      'patch',
      'mutatingwebhookconfiguration',
      'sluice-injector',
      '--type=json',
      `--patch=${JSON.stringify(change)}`,
    ]);
    await eventually(async () => (await this.caBundle()) !== undefined, 'the caBundle is written again', WAIT_MS);
  }

  async caBundle(): Promise<string | undefined> {
    const { webhooks } = await this.kubernetes.done('GET', WEBHOOK);
    return (webhooks as { clientConfig: { caBundle?: string } }[])[0].clientConfig.caBundle;
  }

  /** The name of one of the pods that the Deployment has. */
  async #pod(): Promise<string> {
    let name = '';
    await eventually(
      async () => {
        const pods = await this.kubernetes.done('GET', `/api/v1/namespaces/${NAMESPACE}/pods`);
        name = (pods as unknown as Listed<Named>).items[0]?.metadata.name ?? '';
        return name !== '';
      },
      'a pod of the controller',
      WAIT_MS,
    );
    return name;
  }
}
