// Plays kubelet for pods of a PodLab: a network namespace for each, init containers in their order, sidecars among them, containers as
// processes with the pod's environment, volumes, probes and hooks, and their end in the order that Kubernetes has.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Container } from './pod-container.js';
import { ContainerLife } from './pod-container-life.js';
import { environmentOf, makeVolumes, mountsOf, type Objects } from './pod-files.js';
import { NODE_ADDRESSES, type PodLab, type Wire } from './pod-lab.js';
import { type ContainerSpec, expand, isSidecar, type Place, type Pod } from './pod-objects.js';
import { sumOf } from './sluice.js';
import { Waiting } from './waiting.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
export const NODE_NAME = 'lab';
const AGAIN_MS = 200;
const SIDECAR_GRACE_MS = 30_000;
const READY_MS = 170_000;

const DATABASE = '--no-defaults --datadir=/var/lib/mysql/data';
/** As the image does it: the database is made, then served. */
const MARIADB = [
  `[ -d /var/lib/mysql/data ] || mariadb-install-db ${DATABASE} --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve >/dev/null`,
  `exec mariadbd ${DATABASE} --socket=/var/lib/mysql/s --pid-file=/var/lib/mysql/pid --skip-name-resolve --skip-grant-tables "$@"`,
].join(' && ');

/** What an image runs where the container does not say: all of Sluice's are this checkout. */
function entrypoint(image: string): readonly string[] {
  if (/(^|\/)sluice[\w.-]*(:|@|$)/.test(image)) return ['sluice'];
  if (/(^|\/)mariadb(:|$)/.test(image)) return ['sh', '-c', MARIADB, 'mariadb'];
  return /(^|\/)node(:|$)/.test(image) ? [process.execPath] : [];
}

export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

export class RunningPod {
  phase: Phase = 'Pending';
  initialized = false;
  /** Nothing of it is left. */
  wiped = false;
  /** Why it does not go on. */
  trouble = '';
  readonly containers: readonly ContainerLife[];
  readonly #wire: Wire;
  readonly #waiting = new Waiting();
  readonly #life: Promise<void>;
  #ending: Promise<void> | null = null;
  #folders: ReadonlyMap<string, string> = new Map();

  constructor(
    readonly pod: Pod,
    private readonly lab: PodLab,
    private readonly objects: Objects,
    private readonly changed: (running: RunningPod) => void,
  ) {
    this.#wire = lab.connect();
    const { initContainers = [], containers, restartPolicy = 'Always' } = pod.spec;
    const around = { ip: this.ip, make: (spec: ContainerSpec) => this.#make(spec), changed: () => this.#change() };
    const rest = restartPolicy === 'Never' ? 'Never' : 'OnFailure';
    this.containers = [
      ...initContainers.map((spec) => new ContainerLife(spec, { ...around, restarts: rest })),
      ...containers.map((spec) => new ContainerLife(spec, { ...around, restarts: restartPolicy })),
    ];
    this.#life = this.#live();
  }

  get name(): string {
    return this.pod.metadata.name;
  }

  get namespace(): Wire['namespace'] {
    return this.#wire.namespace;
  }

  get place(): Place {
    return { node: NODE_NAME, hostIp: NODE_ADDRESSES[0], ips: this.#wire.ips };
  }

  get ip(): string {
    return this.#wire.ips[0];
  }

  get ipv6(): string {
    return this.#wire.ips[1];
  }

  get ready(): boolean {
    return this.phase === 'Running' && this.containers.every(({ spec, ready }) => ready || this.#isInit(spec));
  }

  get deleting(): boolean {
    return this.#ending !== null;
  }

  /** The process of a container. */
  container(name: string): Container {
    const process = this.containers.find(({ spec }) => spec.name === name)?.process ?? null;
    if (process === null) throw new Error(`${name} has not been started: ${this.story()}`);
    return process;
  }

  /** Resolves once it is ready; rejects with what its containers have said. */
  async untilReady(): Promise<this> {
    await this.until(() => {
      if (this.phase === 'Failed') throw new Error(this.story());
      return this.ready;
    });
    return this;
  }

  /** Resolves with the phase once its work is over. */
  async untilOver(): Promise<Phase> {
    await this.until(() => this.phase === 'Succeeded' || this.phase === 'Failed');
    return this.phase;
  }

  until(condition: () => boolean): Promise<void> {
    return this.#waiting.until(condition, () => this.story(), READY_MS);
  }

  /** What its containers have said last. */
  story(): string {
    const told = this.containers.map(
      ({ spec, process, code }) =>
        `--- ${spec.name} (${process === null ? 'not started' : (code ?? process.code ?? 'runs')}):\n${process?.lines.slice(-30).join('\n') ?? ''}`,
    );
    return `${this.name} is ${this.phase} ${this.trouble}\n${told.join('\n')}`;
  }

  /** A page of the proxy's admin port. */
  async admin(path: string): Promise<string> {
    return (await fetch(`http://${this.ip}:4191${path}`, { headers: { connection: 'close' } })).text();
  }

  /** The value of a metric of its proxy, as that of `Sluice`. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return sumOf(await this.admin('/metrics'), name, labels);
  }

  /** Ends it as `kubectl delete` does; resolves when nothing is left. */
  delete(graceSeconds = this.pod.spec.terminationGracePeriodSeconds ?? 30): Promise<void> {
    this.#ending ??= this.#end(graceSeconds * 1000);
    this.#change();
    return this.#ending;
  }

  async #end(graceMs: number): Promise<void> {
    for (const life of this.containers) if (this.#isInit(life.spec)) life.kill();
    await this.#stop(performance.now() + graceMs);
    await this.#life;
    this.#wire.cut();
    this.wiped = true;
  }

  /** Containers at once; then sidecars, the last one first. */
  async #stop(endMs: number): Promise<void> {
    const mains = this.containers.filter(({ spec }) => this.#isMain(spec));
    const stopped: Promise<void>[] = mains.map((life) => life.stop(endMs, Promise.resolve()));
    for (const life of this.containers.filter(({ spec }) => isSidecar(spec)).reverse())
      stopped.push(life.stop(endMs, Promise.all(stopped)));
    await Promise.all(stopped);
  }

  #isMain(spec: ContainerSpec): boolean {
    return this.pod.spec.containers.includes(spec);
  }

  #isInit(spec: ContainerSpec): boolean {
    return !isSidecar(spec) && !this.#isMain(spec);
  }

  #change(): void {
    this.#waiting.wake();
    this.changed(this);
  }

  /** What may be missing for now, such as a ConfigMap, is looked for again. */
  async #again<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        const done = await work();
        this.trouble = '';
        return done;
      } catch (error) {
        this.trouble = error instanceof Error ? error.message : String(error);
        this.#change();
        if (this.deleting) throw error;
        await sleep(AGAIN_MS);
      }
    }
  }

  async #make(spec: ContainerSpec): Promise<Container> {
    const { pod, place, objects } = this;
    const env = await this.#again(() => environmentOf(spec, pod, place, objects));
    const known = new Map(Object.entries(env));
    const { command: [program, ...rest] = entrypoint(spec.image), args = [] } = spec;
    // Of images with Node.js this one.
    const command = [program === 'node' ? process.execPath : program, ...rest];
    const domains = [`${pod.metadata.namespace}.svc.cluster.local`, 'svc.cluster.local', 'cluster.local'];
    return new Container({
      name: `${this.name}/${spec.name}`,
      namespace: this.namespace,
      command: [...command, ...args].map((text) => expand(text, known)),
      env,
      mounts: mountsOf(spec, pod, this.#folders),
      files: {
        '/usr/local/bin/sluice': `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`,
        '/etc/resolv.conf': `nameserver ${NODE_ADDRESSES[0]}\nsearch ${domains.join(' ')}\noptions ndots:5\n`,
        '/etc/hosts': `127.0.0.1 localhost\n::1 localhost\n${place.ips.map((ip) => `${ip} ${this.name}\n`).join('')}`,
      },
      security: { ...pod.spec.securityContext, ...spec.securityContext },
      directory: this.#directory,
    });
  }

  get #directory(): string {
    return join(this.lab.directory, this.namespace.name);
  }

  async #live(): Promise<void> {
    try {
      await this.#begin();
    } catch (error) {
      // What it was waiting for has not come before it was deleted.
      if (!this.deleting) throw error;
    }
  }

  async #begin(): Promise<void> {
    this.#folders = await this.#again(() => makeVolumes(this.pod, this.place, this.objects, this.#directory));
    for (const life of this.containers.filter(({ spec }) => !this.#isMain(spec))) {
      if (this.deleting) return;
      await life.start();
      if (isSidecar(life.spec) || (await life.over()) === 0 || this.deleting) continue;
      this.phase = 'Failed';
      return this.#change();
    }
    this.initialized = true;
    const mains = this.containers.filter(({ spec }) => this.#isMain(spec));
    for (const life of mains) {
      if (this.deleting) return;
      await life.start();
    }
    this.phase = 'Running';
    this.#change();
    void Promise.all(mains.map((life) => life.over())).then((codes) => this.#over(codes));
  }

  /** All of its containers have ended by themselves. */
  async #over(codes: readonly number[]): Promise<void> {
    if (this.deleting) return;
    await this.#stop(performance.now() + SIDECAR_GRACE_MS);
    this.phase = codes.every((code) => code === 0) ? 'Succeeded' : 'Failed';
    this.#change();
  }
}

/** What pods that no API server knows find: nothing but what was put here. */
export class GivenObjects implements Objects {
  readonly configMaps = new Map<string, Readonly<Record<string, string>>>();

  async data(kind: 'configmaps' | 'secrets', _namespace: string, name: string) {
    return kind === 'configmaps' ? (this.configMaps.get(name) ?? null) : null;
  }

  async token({ metadata: { namespace }, spec }: Pod): Promise<string> {
    return `token-of-${namespace}-${spec.serviceAccountName ?? 'default'}`;
  }

  async serviceLinks() {
    return {};
  }
}

export class Kubelet {
  readonly pods = new Set<RunningPod>();

  constructor(
    readonly lab: PodLab,
    readonly objects: Objects = new GivenObjects(),
    private readonly changed: (running: RunningPod) => void = () => undefined,
  ) {}

  run(pod: Pod): RunningPod {
    const running = new RunningPod(pod, this.lab, this.objects, this.changed);
    this.pods.add(running);
    return running;
  }

  /** Ends a pod, and forgets it. */
  async delete(running: RunningPod, graceSeconds?: number): Promise<void> {
    await running.delete(graceSeconds);
    this.pods.delete(running);
  }

  /** Everything, without waiting for anybody. */
  async stop(): Promise<void> {
    for (const { containers } of this.pods) for (const life of containers) life.kill();
    await Promise.all([...this.pods].map((running) => running.delete(0)));
    this.pods.clear();
  }
}
